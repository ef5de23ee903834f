import type { Task } from '@unimoer/core';
import { type AdapterConfig, type MoeLoraConfig, moePreset } from '@unimoer/moe-lora';
import type { TrainConfig } from '@unimoer/train';
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

const both: readonly Task[] = ['embedding', 'reranking'];

interface PresetText {
  label: string;
  role: ArmRole;
  tasks: readonly Task[];
}

const texts: Record<ArmConfig['preset'], PresetText> = {
  zeroShot: { label: 'No adapter', role: 'zeroShot', tasks: [] },
  embedOnly: { label: 'Embedding-only LoRA', role: 'dedicated', tasks: ['embedding'] },
  rerankOnly: { label: 'Reranking-only LoRA', role: 'dedicated', tasks: ['reranking'] },
  joint: { label: 'Joint LoRA', role: 'joint', tasks: both },
  jointRankMatched: { label: 'Joint LoRA, rank-matched', role: 'jointRankMatched', tasks: both },
  hardSwitch: { label: 'Hard task switch', role: 'hardSwitch', tasks: both },
  moeLora: { label: 'MoE-LoRA', role: 'moe', tasks: both },
  frozenHead: { label: 'Frozen backbone, trained head', role: 'control', tasks: ['reranking'] },
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
  const router = preset === 'hardSwitch' ? 'the task chooses' : `${adapter.router.name} router`;
  return `LoRA experts ${experts} on ${where}; ${router}.`;
}

/** Expands the arms of a study. Throws InputError for two arms of one name. */
export function studyArms(config: StudyConfig, file: string): StudyArm[] {
  const { target, rank: defaultRank, alphaPerRank } = config.adapter;
  const layers = config.adapter.layers === 'all' ? undefined : config.adapter.layers;
  const lora = (rank: number): AdapterConfig => ({
    kind: 'lora',
    target,
    rank,
    alpha: rank * alphaPerRank,
    ...(layers ? { layers } : {}),
  });
  const mixture = (name: NonNullable<ArmConfig['mixture']>, rank: number): MoeLoraConfig =>
    moePreset(name, { target, rank, alphaPerRank, ...(layers ? { layers } : {}) });

  // The rank that a single LoRA needs to match the study's mixture of experts.
  const moe = config.arms.find((arm) => arm.preset === 'moeLora');
  const matchedRank = totalRank(mixture(moe?.mixture ?? 'proposal', moe?.rank ?? defaultRank));

  const adapterOf = (arm: ArmConfig): AdapterConfig | null => {
    const rank = arm.rank ?? defaultRank;
    switch (arm.preset) {
      case 'zeroShot':
      case 'frozenHead':
        return null;
      case 'jointRankMatched':
        return lora(arm.rank ?? matchedRank);
      case 'hardSwitch':
        return mixture('hardSwitch', rank);
      case 'moeLora':
        return mixture(arm.mixture ?? 'proposal', rank);
      default:
        return lora(rank);
    }
  };
  const dedicated = (preset: ArmConfig['preset'], rank: number): string | undefined => {
    const found = config.arms.find(
      (arm) => arm.preset === preset && (arm.rank ?? defaultRank) === rank && !arm.weights,
    );
    return found && (found.name ?? found.preset);
  };

  const arms = config.arms.map((arm): StudyArm => {
    const text = texts[arm.preset];
    const adapter = adapterOf(arm);
    const name = arm.name ?? arm.preset;
    const rank = arm.rank ?? defaultRank;
    const embedding = dedicated('embedOnly', rank);
    const reranking = dedicated('rerankOnly', rank);
    const composed =
      arm.preset === 'hardSwitch' &&
      config.training.optimizer.clipScope === 'perTask' &&
      config.training.schedule === 'mixed' &&
      embedding !== undefined &&
      reranking !== undefined &&
      !arm.weights;
    const role: ArmRole = arm.weights && arm.preset === 'joint' ? 'control' : text.role;
    const weights = arm.weights
      ? ` Loss weights ${arm.weights.embedding} (embedding) and ${arm.weights.reranking} (reranking).`
      : '';
    const sharing = composed
      ? ' Equal to the two dedicated arms side by side, whose cells it uses.'
      : '';
    return {
      info: {
        arm: name,
        label: arm.label ?? text.label,
        role,
        tasks: [...text.tasks],
        description: describe(adapter, arm.preset) + weights + sharing,
        rank: totalRank(adapter),
        ...(composed ? { composed: true } : {}),
      },
      adapter,
      tasks: text.tasks,
      weights: arm.weights ?? null,
      composedOf: composed ? { embedding, reranking } : null,
    };
  });
  const names = new Set<string>();
  for (const { info } of arms) {
    if (names.has(info.arm)) {
      throw new InputError({
        where: `${file}: arms`,
        got: `two arms called ${JSON.stringify(info.arm)}`,
        expected: 'a name each',
        remedy: 'give one of them another name',
      });
    }
    names.add(info.arm);
  }
  return arms;
}

/** What the trainer gets for one cell. */
export function trainConfig(config: StudyConfig, arm: StudyArm, seed: number): TrainConfig {
  const { training } = config;
  const weights = arm.weights ?? {
    embedding: training.embedding.weight,
    reranking: training.reranking.weight,
  };
  return {
    arm: { name: arm.info.arm, label: arm.info.label, tasks: arm.tasks, adapter: arm.adapter },
    seed,
    steps: arm.tasks.length === 0 ? 0 : training.steps,
    schedule: training.schedule,
    embedding: { ...training.embedding, weight: weights.embedding },
    reranking: { ...training.reranking, weight: weights.reranking },
    optimizer: training.optimizer,
    negativeRanks: training.negativeRanks,
    checkpointEvery: training.checkpointEvery,
    dtype: training.dtype,
  };
}
