import type { Backend, DType, ForwardContext, Task, Tensor } from '@unimoer/core';
import type { ExpertConfig } from './config';
import type { AdapterParameter } from './lora';

/** One routing decision of one layer. */
export interface Routing {
  layer: number;
  /** f32 `[groups, routed experts]`; zero is inactive. */
  gates: Tensor;
  /** i32 `[tokens]`: the group of each token. */
  rowToGate: Tensor;
  /**
   * Gates that are exactly 0 pass no gradient to what made them, so that adapters may leave out their experts.
   * Set it only where that holds, as for top-k, Sparsegen and switches; without it every gate gets its gradient.
   */
  sparse?: boolean;
  /** Before the map, `[groups, routed experts]`; null where nothing is learned. */
  logits: Tensor | null;
  /** Dense softmax of the logits, which balance losses use so that inactive experts get gradient. */
  probabilities: Tensor | null;
  /** Sparsity or threshold in use, where the map has one. */
  sparsity: Tensor | null;
  /** Task of each group; null where a group spans tasks or the batch names none. */
  groupTasks: readonly Task[] | null;
}

export interface RouterInput {
  layer: number;
  /** The layer's input `[tokens, hiddenSize]`. */
  hidden: Tensor;
  ctx: ForwardContext;
  /** Optimiser step, for routers with noise. */
  step: number;
}

/**
 * Decides the gates of a layer's experts. Implement it and pass a factory to `registerRouter` to add a
 * design; the adapters, losses and statistics see nothing but the `Routing`.
 */
export interface Router {
  route(input: RouterInput): Routing;
  parameters(): AdapterParameter[];
}

/** What a factory builds from. */
export interface RouterBuild {
  /** The experts inside the simplex, in the order of the gates' columns. */
  experts: readonly ExpertConfig[];
  /** The adapted layers, ascending. */
  layers: readonly number[];
  hiddenSize: number;
  seed: number;
  backend?: Backend;
  dtype?: DType;
}

export type RouterFactory = (
  build: RouterBuild,
  options: Readonly<Record<string, unknown>>,
) => Router;
