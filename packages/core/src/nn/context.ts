import type { Tensor } from '../tensor/tensor';
import type { PackedBatch } from './batch';

/** Gates of one layer's experts and which row of them each token uses. */
export interface LayerGates {
  /** f32 [G, N]. */
  gates: Tensor;
  /** i32 [T]. */
  rowToGate: Tensor;
  /** What made the gates has derivative 0 where they are 0: see LowRank.sparseGates. */
  sparse?: boolean;
}

/** Called by a backbone before each layer, on the layer's input [T, dim]; routers set ctx.gates here. */
export interface LayerHook {
  beginLayer(layer: number, hidden: Tensor, ctx: ForwardContext): void;
}

/** What one forward pass carries from layer to layer. */
export class ForwardContext {
  readonly batch: PackedBatch;
  training: boolean;
  /**
   * Layers keep only their input and are computed again in the backward pass (gradient checkpointing). Hooks are
   * not: they decide once.
   */
  readonly gradientCheckpointing: boolean;
  /** Gates of the current layer. */
  gates: LayerGates | null = null;
  hooks: LayerHook[];
  /** Tensors that hooks and losses hand to the caller, by name. */
  record = new Map<string, Tensor>();

  constructor(
    batch: PackedBatch,
    options: { training?: boolean; hooks?: LayerHook[]; gradientCheckpointing?: boolean } = {},
  ) {
    this.batch = batch;
    this.training = options.training ?? false;
    this.gradientCheckpointing = options.gradientCheckpointing ?? false;
    this.hooks = options.hooks ?? [];
  }
}
