import type { Task } from '@unimoer/core';
import type { AdapterConfig } from '@unimoer/moe-lora';
import { type ArmName, studyArm, type TrainConfig } from '@unimoer/train';
import { InputError } from '../lib/errors.js';
import type { ArmInfo, ArmRole } from '../report/types.js';
import type { ArmConfig, StudyConfig } from './schema.js';

/** One arm of the study: what the report says of it and what the trainer gets. */
export interface StudyArm {
  info: ArmInfo;
  adapter: AdapterConfig | null;
  tasks: readonly Task[];
  weights: { embedding: number; reranking: number } | null;
  /** The arms whose cells are put together instead of training one: by endpoint. */
  composedOf: { embedding: string; reranking: string } | null;
}

interface PresetText {
  /** The trainer's name for it. */
  train: ArmName;
  label: string;
  role: ArmRole;
}

const presets: Record<ArmConfig['preset'], PresetText> = {
  zeroShot: { train: 'none', label: 'No adapter', role: 'zeroShot' },
  embedOnly: { train: 'embedOnly', label: 'Embedding-only LoRA', role: 'dedicated' },
  rerankOnly: { train: 'rerankOnly', label: 'Reranking-only LoRA', role: 'dedicated' },
  joint: { train: 'joint', label: 'Joint LoRA', role: 'joint' },
  jointRankMatched: {
    train: 'jointRankMatched',
    label: 'Joint LoRA, rank-matched',
    role: 'jointRankMatched',
  },
  hardSwitch: { train: 'hardSwitch', label: 'Hard task switch', role: 'hardSwitch' },
  hardSwitchShared: {
    train: 'hardSwitchShared',
    label: 'Hard task switch with a shared expert',
    role: 'control',
  },
  moeLora: { train: 'moeLora', label: 'MoE-LoRA', role: 'moe' },
  frozenHead: { train: 'headOnly', label: 'Frozen backbone, trained head', role: 'control' },
};

/** Sum of the ranks of an adapter's experts. */
export function totalRank(adapter: AdapterConfig | null): number {
  if (adapter === null) return 0;
  if (adapter.kind === 'lora') return adapter.rank;
  return adapter.experts.reduce((sum, expert) => sum + expert.rank, 0);
}

function describe(adapter: AdapterConfig | null, preset: ArmConfig['preset']): string {
  if (preset === 'zeroShot') return 'The pretrained model as it is.';
  if (adapter === null) return 'The pretrained model as it is, with a linear scoring head.';
  const where = adapter.layers ? `layers ${adapter.layers.join(', ')}` : 'every layer';
  if (adapter.kind === 'lora') return `LoRA of rank ${adapter.rank} on ${where}.`;
  const experts = adapter.experts.map((expert) => `${expert.name} (${expert.rank})`).join(', ');
  const router = preset.startsWith('hardSwitch')
    ? 'the task chooses'
    : `${adapter.router.name} router`;
  return `LoRA experts ${experts} on ${where}; ${router}.`;
}

/** One arm by itself; `mixtureArm` is the arm whose total rank a rank-matched one follows. */
export function armOf(
  arm: ArmConfig,
  { target, rank: defaultRank, alphaPerRank, layers }: StudyConfig['adapter'],
  mixtureArm?: ArmConfig,
): StudyArm {
  const text = presets[arm.preset];
  const matched = arm.preset === 'jointRankMatched' ? mixtureArm : undefined;
  const { adapter, tasks } = studyArm(text.train, {
    target,
    rank: arm.rank ?? matched?.rank ?? defaultRank,
    alphaPerRank,
    ...(layers === 'all' ? {} : { layers }),
    preset: arm.mixture ?? matched?.mixture ?? 'proposal',
  });
  const weights = arm.weights
    ? ` Loss weights ${arm.weights.embedding} (embedding) and ${arm.weights.reranking} (reranking).`
    : '';
  return {
    info: {
      arm: arm.name ?? arm.preset,
      label: arm.label ?? text.label,
      // The verdicts are about the joint arm with the study's own weights.
      role: arm.weights && arm.preset === 'joint' ? 'control' : text.role,
      tasks: [...tasks],
      description: describe(adapter, arm.preset) + weights,
      rank: totalRank(adapter),
    },
    adapter,
    tasks,
    weights: arm.weights ?? null,
    composedOf: null,
  };
}

/**
 * A hard switch has disjoint parameters per task. With mixed batches and per-task clipping it is, bit by
 * bit, its two dedicated arms side by side, so that their cells serve for it.
 */
function compose(arm: StudyArm, config: StudyConfig, source: ArmConfig): StudyArm {
  const rank = source.rank ?? config.adapter.rank;
  const dedicated = (preset: ArmConfig['preset']): string | undefined => {
    const found = config.arms.find(
      (other) =>
        other.preset === preset && (other.rank ?? config.adapter.rank) === rank && !other.weights,
    );
    return found && (found.name ?? found.preset);
  };
  const embedding = dedicated('embedOnly');
  const reranking = dedicated('rerankOnly');
  const { schedule, optimizer } = config.training;
  const exact =
    source.preset === 'hardSwitch' &&
    schedule === 'mixed' &&
    (optimizer.clipScope === 'perTask' || optimizer.clip === null) &&
    !source.weights;
  if (!exact || !embedding || !reranking) return arm;
  const description = `${arm.info.description} Equal to the two dedicated arms side by side, whose cells it uses.`;
  return {
    ...arm,
    info: { ...arm.info, description, composed: true },
    composedOf: { embedding, reranking },
  };
}

/** Expands the arms of a study. Throws InputError for two arms of one name. */
export function studyArms(config: StudyConfig, file: string): StudyArm[] {
  const mixtureArm = config.arms.find((arm) => arm.preset === 'moeLora');
  const names = new Set<string>();
  return config.arms.map((source) => {
    const arm = compose(armOf(source, config.adapter, mixtureArm), config, source);
    const name = arm.info.arm;
    if (names.has(name)) {
      throw new InputError({
        where: `${file}: arms`,
        got: `two arms called ${JSON.stringify(name)}`,
        expected: 'a name each',
        remedy: 'give one of them another name',
      });
    }
    names.add(name);
    return arm;
  });
}

/** What the trainer gets for one cell. */
export function trainConfig(
  training: StudyConfig['training'],
  arm: StudyArm,
  seed: number,
): TrainConfig {
  const { dtype: _, embedding, reranking, ...settings } = training;
  return {
    ...settings,
    arm: { name: arm.info.arm, label: arm.info.label, tasks: arm.tasks, adapter: arm.adapter },
    seed,
    embedding: { ...embedding, weight: arm.weights?.embedding ?? embedding.weight },
    reranking: { ...reranking, weight: arm.weights?.reranking ?? reranking.weight },
  };
}
