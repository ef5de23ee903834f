import type { AttachedAdapter } from '@unimoer/moe-lora';
import type { TrainableBackbone } from './types';

/**
 * Estimated floating-point operations, two per multiply-add: the linears, the adapters and attention's two
 * products. A training step adds the backward pass of what lies above the lowest adapter: as much again
 * for frozen linears (no weight gradient), twice as much for adapters and attention; gradient
 * checkpointing adds their forward pass once more. Nothing is
 * subtracted for cached features, so that the figure depends on the configuration alone.
 */
export class FlopCounter {
  private readonly frozenForward: number;
  private readonly trainedLinears: number;
  private readonly adapters: number;
  private readonly trainedLayers: number;

  constructor(
    private readonly backbone: TrainableBackbone,
    adapter: AttachedAdapter | null,
    private readonly gradientCheckpointing: boolean,
  ) {
    const lowest = adapter ? adapter.lowestLayer : backbone.layers;
    let all = 0;
    let trained = 0;
    for (const { layer, weight } of backbone.linears()) {
      const operations = 2 * weight.inFeatures * weight.outFeatures;
      all += operations;
      if (layer >= lowest) trained += operations;
    }
    this.frozenForward = all;
    this.trainedLinears = trained;
    this.adapters = (adapter?.parameters() ?? []).reduce(
      (total, { tensor }) => total + 2 * tensor.size,
      0,
    );
    this.trainedLayers = backbone.layers - lowest;
  }

  /** Forward and backward of one training pass over sequences of these lengths. */
  training(lengths: readonly number[]): number {
    const tokens = lengths.reduce((a, b) => a + b, 0);
    const squares = lengths.reduce((a, b) => a + b * b, 0);
    const attentionPerLayer = 4 * squares * this.backbone.hiddenSize;
    const forward =
      tokens * (this.frozenForward + this.adapters) + attentionPerLayer * this.backbone.layers;
    const backward =
      tokens * (this.trainedLinears + 2 * this.adapters) +
      2 * attentionPerLayer * this.trainedLayers;
    const again = this.gradientCheckpointing
      ? tokens * (this.trainedLinears + this.adapters) + attentionPerLayer * this.trainedLayers
      : 0;
    return forward + backward + again;
  }
}
