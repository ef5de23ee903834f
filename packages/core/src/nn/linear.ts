import { adaptedLinear, linearGroup } from '../ops/adapted-linear';
import { add } from '../ops/binary';
import type { FrozenWeight } from '../ops/frozen-weight';
import { type FeedForwardActivation, feedForward } from '../ops/feed-forward';
import { linear } from '../ops/linear';
import type { LowRank } from '../ops/shared/low-rank';
import { swiglu } from '../ops/swiglu';
import { gelu, relu } from '../ops/unary';
import type { Tensor } from '../tensor/tensor';
import type { ForwardContext } from './context';

/** A trainable tensor, f32. group selects optimiser settings, for example 'adapter', 'router' or 'head'. */
export interface Parameter {
  name: string;
  tensor: Tensor;
  group?: string;
}

/** Something that changes a frozen linear's output, such as LoRA. */
export interface LinearAdapter {
  /** x [T, in] -> [T, out], base included. */
  forward(x: Tensor, base: Linear, ctx: ForwardContext): Tensor;
  /**
   * For adapters that are a low-rank pair and nothing else: forward(x) is adaptedLinear(x, …, lowRank). With it
   * linears that read one x run as one op (see forwardTogether), and a residual joins the sums (forwardOnto).
   */
  lowRank?(base: Linear, ctx: ForwardContext): LowRank;
  parameters(): Parameter[];
}

/** A frozen linear of a backbone, with a place for an adapter. */
export class Linear {
  adapter: LinearAdapter | null = null;

  constructor(
    /** For example 'encoder.layer.3.attention.self.query'. */
    readonly name: string,
    readonly layer: number,
    readonly weight: FrozenWeight,
    readonly bias: Tensor | null,
  ) {}

  /** x [T, in] -> [T, out]. */
  forward(x: Tensor, ctx: ForwardContext): Tensor {
    return this.adapter ? this.adapter.forward(x, this, ctx) : linear(x, this.weight, this.bias);
  }

  /** forward(x) + residual [T, out]: one op, unless the adapter is more than a low-rank pair. */
  forwardOnto(x: Tensor, residual: Tensor | null, ctx: ForwardContext): Tensor {
    const { adapter, weight, bias } = this;
    if (!adapter) return linear(x, weight, bias, residual);
    const lowRank = adapter.lowRank?.(this, ctx);
    if (lowRank) return adaptedLinear(x, weight, bias, lowRank, residual);
    const y = adapter.forward(x, this, ctx);
    return residual ? add(y, residual) : y;
  }

  dispose(): void {
    this.weight.dispose();
    this.bias?.dispose();
  }
}

/**
 * Outputs of linears that read the same x [T, in], such as queries, keys and values: one op that reads x once
 * and sums its gradient, or one by one where an adapter is more than a low-rank pair.
 */
export function forwardTogether(
  linears: readonly Linear[],
  x: Tensor,
  ctx: ForwardContext,
): Tensor[] {
  const dtype = linears[0]?.weight.dtype;
  const plain = linears.every(
    ({ adapter, weight }) => weight.dtype === dtype && (adapter === null || adapter.lowRank),
  );
  if (!plain) return linears.map((linear) => linear.forward(x, ctx));
  const members = linears.map((linear) => ({
    weight: linear.weight,
    bias: linear.bias,
    lowRank: linear.adapter?.lowRank?.(linear, ctx) ?? null,
  }));
  const adapters = members.flatMap(({ lowRank }) => lowRank ?? []);
  if (
    adapters.every((a) => a.gates === adapters[0]!.gates && a.rowToGate === adapters[0]!.rowToGate)
  ) {
    return linearGroup(x, members);
  }
  return linears.map((linear) => linear.forward(x, ctx));
}

/**
 * The feed-forward part of a layer on x [T, d] plus a residual [T, d], if given: one op where its linears are frozen, else op
 * by op with gate and up together. gate belongs to 'swiglu' alone.
 */
export function forwardFeedForward(
  { up, gate, down }: { up: Linear; gate?: Linear; down: Linear },
  activation: FeedForwardActivation,
  x: Tensor,
  residual: Tensor | null,
  ctx: ForwardContext,
): Tensor {
  if (!up.adapter && !down.adapter && !gate?.adapter) {
    return feedForward(x, { up, down, ...(gate ? { gate } : {}) }, activation, residual);
  }
  if (gate) {
    const [g, u] = forwardTogether([gate, up], x, ctx);
    return down.forwardOnto(swiglu(g!, u!), residual, ctx);
  }
  const wide = up.forward(x, ctx);
  const active =
    activation === 'relu'
      ? relu(wide)
      : gelu(wide, { approximate: activation === 'gelu' ? 'none' : 'tanh' });
  return down.forwardOnto(active, residual, ctx);
}
