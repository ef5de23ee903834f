import type { ForwardContext, Linear, PackedBatch, Tensor } from '@unimoer/core';
import type { BackboneConfig } from '../config/backbone';
import type { ComputeDType } from '../weights';

/**
 * A frozen transformer over packed sequences. `forward` is `embed`, all `layers`, `final`; the parts are
 * public so that the states below the lowest adapter can be computed once and stored. Hidden states are
 * `[tokens, hiddenSize]` in the compute dtype; gradients flow to adapters only.
 */
export interface Backbone {
  readonly config: BackboneConfig;
  readonly dtype: ComputeDType;
  readonly hiddenSize: number;
  readonly layerCount: number;
  /** Bidirectional backbones see the whole sequence from every position. */
  readonly causal: boolean;
  /** Adaptable linears in the order in which they run; names are those of the checkpoint, without prefix. */
  linears(): readonly Linear[];
  /** Input of layer 0. Throws InputError for a sequence beyond the positions. */
  embed(batch: PackedBatch): Tensor;
  /** Runs layers `from … to − 1` over `ctx.batch`, calling `ctx.hooks` before each. Does not free `hidden`. */
  layers(hidden: Tensor, ctx: ForwardContext, from: number, to: number): Tensor;
  /** What follows the last layer: the final norm of decoders, nothing for BERT. */
  final(hidden: Tensor): Tensor;
  forward(ctx: ForwardContext): Tensor;
}

/** Runs blocks with hooks; frees each block's input once the next holds its own. */
export function runLayers(
  hidden: Tensor,
  ctx: ForwardContext,
  from: number,
  to: number,
  block: (layer: number, x: Tensor) => Tensor,
): Tensor {
  let x = hidden;
  for (let layer = from; layer < to; layer++) {
    for (const hook of ctx.hooks) hook.beginLayer(layer, x, ctx);
    const next = block(layer, x);
    if (x !== hidden) x.dispose();
    x = next;
  }
  return x;
}
