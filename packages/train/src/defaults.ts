import type { Arm, TrainConfig } from './types';

/** The settings of the quick study for an arm; spread and override what differs. */
export function defaultTrainConfig(arm: Arm): TrainConfig {
  return {
    arm,
    seed: 1,
    steps: 48,
    schedule: 'mixed',
    embedding: { queries: 16, negatives: 1, maxLength: 64, temperature: 0.05, weight: 1 },
    reranking: { queries: 8, negatives: 2, maxLength: 96, loss: 'pointwise', weight: 1 },
    optimizer: {
      lr: 1e-3,
      routerLr: 1e-3,
      weightDecay: 0.01,
      betas: [0.9, 0.999],
      eps: 1e-8,
      clip: 1,
      clipScope: 'perTask',
      warmupFraction: 0.1,
    },
    negativeRanks: [0, 20],
    gradientCheckpointing: false,
    checkpointEvery: 0,
  };
}
