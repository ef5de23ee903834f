import type { Task } from '@unimoer/core';
import { InputError } from '@unimoer/core';
import { type LoraConfig, moePreset, type PresetName, type TargetPattern } from '@unimoer/moe-lora';
import type { Arm } from './types';

/** What the arms of one study have in common. */
export interface ArmOptions {
  target: TargetPattern;
  layers?: readonly number[];
  /** Rank of a single adapter and of each routed expert. */
  rank: number;
  alphaPerRank?: number;
  /** Mixture of the `moeLora` arm; `proposal` when absent. */
  preset?: PresetName;
}

const BOTH: readonly Task[] = ['embedding', 'reranking'];

type ArmFactory = (options: ArmOptions) => Omit<Arm, 'name'>;

function lora(options: ArmOptions, rank: number, initKey: string): LoraConfig {
  const { target, layers, alphaPerRank = 2 } = options;
  return { kind: 'lora', target, layers, rank, alpha: rank * alphaPerRank, initKey };
}

/** Total rank of the mixture that a joint adapter is matched to. */
function mixtureRank(options: ArmOptions): number {
  const { experts } = moePreset(options.preset ?? 'proposal', options);
  return experts.reduce((total, expert) => total + expert.rank, 0);
}

const factories = {
  none: () => ({ label: 'frozen backbone, nothing trained', tasks: [], adapter: null }),
  headOnly: () => ({
    label: 'frozen backbone, trained reranking head',
    tasks: ['reranking'],
    adapter: null,
  }),
  embedOnly: (o) => ({
    label: `LoRA of rank ${o.rank}, embedding only`,
    tasks: ['embedding'],
    adapter: lora(o, o.rank, 'embedding'),
  }),
  rerankOnly: (o) => ({
    label: `LoRA of rank ${o.rank}, reranking only`,
    tasks: ['reranking'],
    adapter: lora(o, o.rank, 'reranking'),
  }),
  joint: (o) => ({
    label: `one LoRA of rank ${o.rank} for both tasks`,
    tasks: BOTH,
    adapter: lora(o, o.rank, 'joint'),
  }),
  jointRankMatched: (o) => ({
    label: `one LoRA of rank ${mixtureRank(o)}, the mixture's total rank, for both tasks`,
    tasks: BOTH,
    adapter: lora(o, mixtureRank(o), 'joint'),
  }),
  hardSwitch: (o) => ({
    label: `one LoRA of rank ${o.rank} per task, chosen by the task`,
    tasks: BOTH,
    adapter: moePreset('hardSwitch', o),
  }),
  hardSwitchShared: (o) => ({
    label: 'hard switch beside a shared expert that is always on',
    tasks: BOTH,
    adapter: moePreset('hardSwitchShared', o),
  }),
  moeLora: (o) => ({
    label: `MoE-LoRA, preset ${o.preset ?? 'proposal'}`,
    tasks: BOTH,
    adapter: moePreset(o.preset ?? 'proposal', o),
  }),
} satisfies Record<string, ArmFactory>;

export type ArmName = keyof typeof factories;

/** Names that `studyArm` knows. */
export const armNames = Object.keys(factories) as ArmName[];

/** A standard arm of the interference study by name; throws InputError for another name. */
export function studyArm(name: ArmName, options: ArmOptions): Arm {
  const factory: ArmFactory | undefined = factories[name];
  if (!factory) {
    throw new InputError({
      where: 'arm',
      got: name,
      expected: `one of ${armNames.join(', ')}`,
      remedy: 'or describe the arm with its tasks and adapter',
    });
  }
  return { name, ...factory(options) };
}
