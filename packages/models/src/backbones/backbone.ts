import {
  checkpoint,
  type ForwardContext,
  type Linear,
  type PackedBatch,
  type Tensor,
} from '@unimoer/core';
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

/**
 * Runs blocks with hooks; frees each block's input once the next holds its own. With gradient checkpointing a block
 * keeps only its input if that has a gradient or one of its `linears` carries an adapter; the batch must then live
 * until the backward pass.
 */
export function runLayers(
  hidden: Tensor,
  ctx: ForwardContext,
  from: number,
  to: number,
  block: (layer: number, x: Tensor) => Tensor,
  linears: readonly Linear[] = [],
): Tensor {
  const adapted = new Set(linears.filter(({ adapter }) => adapter).map(({ layer }) => layer));
  let x = hidden;
  for (let layer = from; layer < to; layer++) {
    for (const hook of ctx.hooks) hook.beginLayer(layer, x, ctx);
    const again = ctx.gradientCheckpointing && (x.requiresGrad || adapted.has(layer));
    const next = again ? checkpointed(layer, x, ctx, block) : block(layer, x);
    if (x !== hidden) x.dispose();
    x = next;
  }
  return x;
}

/**
 * The block, computed again in the backward pass with the gates that it had. They are inputs like x: what they were
 * decided from gets its gradient from here and is not decided anew. Gradients have the bits of a run without; where
 * one decision gates several layers, its gradient is summed layer by layer.
 */
function checkpointed(
  layer: number,
  x: Tensor,
  ctx: ForwardContext,
  block: (layer: number, x: Tensor) => Tensor,
): Tensor {
  const routed = ctx.gates ? [ctx.gates.gates, ctx.gates.rowToGate] : [];
  const sparse = ctx.gates?.sparse ?? false;
  let record = ctx.record;
  return checkpoint(
    ([h, gates, rowToGate]) => {
      const outer = { gates: ctx.gates, record: ctx.record };
      ctx.gates = gates && rowToGate ? { gates, rowToGate, sparse } : null;
      ctx.record = record;
      // What the second run records is known already.
      record = new Map();
      try {
        return block(layer, h!);
      } finally {
        Object.assign(ctx, outer);
      }
    },
    [x, ...routed],
  );
}
