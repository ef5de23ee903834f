import { InputError } from '@unimoer/core';
import type { ExpertConfig, MoeLoraConfig, TargetPattern } from './config';
import { DEFAULT_SPARSITY } from './maps';

/** What a preset leaves to the caller. */
export interface PresetOptions {
  target: TargetPattern;
  layers?: readonly number[];
  /** Rank of each routed expert; 32 when absent. */
  rank?: number;
  /** Ratio of alpha to rank; 2 when absent. */
  alphaPerRank?: number;
}

type Preset = (options: PresetOptions) => MoeLoraConfig;

function experts(options: PresetOptions, ...names: ('embedding' | 'reranking')[]): ExpertConfig[] {
  const { rank = 32, alphaPerRank = 2 } = options;
  return names.map((task) => ({ name: task, task, rank, alpha: rank * alphaPerRank }));
}

function shared(options: PresetOptions, ranks: number, alwaysOn: boolean): ExpertConfig {
  const { rank = 32, alphaPerRank = 2 } = options;
  const own = rank * ranks;
  return { name: 'shared', task: 'shared', rank: own, alpha: own * alphaPerRank, alwaysOn };
}

function base({
  target,
  layers,
}: PresetOptions): Pick<MoeLoraConfig, 'kind' | 'target' | 'layers'> {
  return { kind: 'moe', target, layers };
}

/** One decision per sequence and layer, by an MLP and Sparsegen with a learned λ. */
const sparsegenRouter: MoeLoraConfig['router'] = {
  name: 'pipeline',
  options: {
    granularity: 'sequence',
    scorer: { kind: 'mlp' },
    map: { kind: 'sparsegen', initialSparsity: DEFAULT_SPARSITY },
  },
};

/** Three experts in one simplex, per-layer sequence router, Sparsegen with learned λ, balance 0.01. */
const proposal: Preset = (options) => ({
  ...base(options),
  experts: [...experts(options, 'embedding', 'reranking'), shared(options, 1, false)],
  router: sparsegenRouter,
  losses: { balance: 0.01, warmupFraction: 0.1, anneal: true },
  gateGain: 3,
});

/** Shared expert of twice the rank always on; two routed experts; task-conditional balance. */
const unimoer: Preset = (options) => ({
  ...base(options),
  experts: [...experts(options, 'embedding', 'reranking'), shared(options, 2, true)],
  router: sparsegenRouter,
  losses: { taskBalance: { coefficient: 0.01, delta: -0.5 }, warmupFraction: 0.1, anneal: true },
  gateGain: 2,
});

/** Three experts, softmax over a linear scorer, the best two renormalised, balance 0.01. */
const softmaxTopK: Preset = (options) => ({
  ...base(options),
  experts: [...experts(options, 'embedding', 'reranking'), shared(options, 1, false)],
  router: {
    name: 'pipeline',
    options: {
      granularity: 'sequence',
      scorer: { kind: 'linear', initStd: 0.02 },
      map: { kind: 'topK', k: 2, renormalize: 'one' },
    },
  },
  losses: { balance: 0.01, warmupFraction: 0.1 },
  gateGain: 2,
});

/** One expert per task, chosen by the task; nothing is shared. */
const hardSwitch: Preset = (options) => ({
  ...base(options),
  experts: experts(options, 'embedding', 'reranking'),
  router: { name: 'hardSwitch' },
});

/** The hard switch beside a shared expert that is always on. */
const hardSwitchShared: Preset = (options) => ({
  ...base(options),
  experts: [...experts(options, 'embedding', 'reranking'), shared(options, 1, true)],
  router: { name: 'hardSwitch' },
});

const presets = { hardSwitch, hardSwitchShared, proposal, softmaxTopK, unimoer } as const;

export type PresetName = keyof typeof presets;

/** Names that `moePreset` knows. */
export const presetNames = Object.keys(presets) as PresetName[];

/**
 * A mixture by name: `proposal` and `unimoer` are the two defaults of the project, `softmaxTopK`,
 * `hardSwitch` and `hardSwitchShared` the baselines. Throws InputError for another name.
 */
export function moePreset(name: PresetName, options: PresetOptions): MoeLoraConfig {
  const preset = presets[name];
  if (!preset) {
    throw new InputError({
      where: 'adapter preset',
      got: name,
      expected: `one of ${presetNames.join(', ')}`,
      remedy: 'or write the experts and the router out',
    });
  }
  return preset(options);
}
