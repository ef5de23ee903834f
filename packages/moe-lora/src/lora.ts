import {
  adaptedLinear,
  type Backend,
  concat,
  type DType,
  type ForwardContext,
  InputError,
  type Linear,
  type LinearAdapter,
  type LowRank,
  type Parameter,
  type Task,
  type Tensor,
  tensor,
  keep,
  UnimoerError,
} from '@unimoer/core';
import type { ExpertConfig } from './config';
import { kaimingUniform, trainable } from './init';

/** A parameter with the task that it belongs to; only `shared` ones get gradient from both. */
export interface AdapterParameter extends Parameter {
  group: 'adapter' | 'router';
  task: Task | 'shared';
}

export interface BuildOptions {
  seed: number;
  backend?: Backend;
  /** f32; f64 only for gradient checks on the reference backend. */
  dtype?: DType;
}

/** The pair of one expert on one linear: A `[rank, in]` Kaiming-uniform, B `[out, rank]` zero. */
export interface LowRankPair {
  readonly rank: number;
  readonly scale: number;
  readonly A: Tensor;
  readonly B: Tensor;
}

/** Scale of a pair: alpha / rank, or alpha / √rank for rsLoRA. */
export function loraScale(rank: number, alpha: number, rsLora: boolean): number {
  return rsLora ? alpha / Math.sqrt(rank) : alpha / rank;
}

export function createPair(
  linear: Linear,
  rank: number,
  scale: number,
  key: string,
  options: BuildOptions,
): LowRankPair {
  if (!Number.isInteger(rank) || rank < 1) {
    throw new InputError({
      where: `rank of the adapter on ${linear.name}`,
      got: String(rank),
      expected: 'a whole number of 1 or more',
      remedy: 'ranks between 4 and 64 are usual',
    });
  }
  const { inFeatures, outFeatures } = linear.weight;
  const init = { ...options, key: `${linear.name}/${key}` };
  return {
    rank,
    scale,
    A: kaimingUniform(rank, inFeatures, init),
    B: trainable(new Float32Array(outFeatures * rank), [outFeatures, rank], init),
  };
}

/** Plain LoRA on one linear. */
export class LoraAdapter implements LinearAdapter {
  private readonly rankScale: Tensor;

  constructor(
    readonly linear: Linear,
    readonly pair: LowRankPair,
    private readonly task: Task | 'shared',
    options: BuildOptions,
  ) {
    this.rankScale = constant(new Array(pair.rank).fill(pair.scale), options);
  }

  forward(x: Tensor, base: Linear): Tensor {
    return adaptedLinear(x, base.weight, base.bias, this.lowRank());
  }

  lowRank(): LowRank {
    const { A, B } = this.pair;
    return { A, B, rankScale: this.rankScale };
  }

  parameters(): AdapterParameter[] {
    return pairParameters(this.linear.name, this.pair, this.task);
  }

  dispose(): void {
    disposePair(this.pair);
    this.rankScale.dispose();
  }
}

/**
 * Experts side by side in rank space: y = x Wᵀ + Σ_e g_e·s_e·(x A_eᵀ)B_eᵀ with H = x A_catᵀ,
 * Z = s·g⊙H, y = x Wᵀ + Z B_catᵀ. The gates are those of `ctx.gates`, one column per expert.
 */
export class MoeLoraAdapter implements LinearAdapter {
  private readonly rankScale: Tensor;
  private readonly rankExpert: Tensor;

  constructor(
    readonly linear: Linear,
    readonly experts: readonly ExpertConfig[],
    readonly pairs: readonly LowRankPair[],
    options: BuildOptions,
  ) {
    const scales = pairs.flatMap((pair) => new Array<number>(pair.rank).fill(pair.scale));
    const owners = pairs.flatMap((pair, e) => new Array<number>(pair.rank).fill(e));
    this.rankScale = constant(scales, options);
    this.rankExpert = constant(owners, { ...options, dtype: 'i32' });
  }

  forward(x: Tensor, base: Linear, ctx: ForwardContext): Tensor {
    return adaptedLinear(x, base.weight, base.bias, this.lowRank(base, ctx));
  }

  lowRank(base: Linear, ctx: ForwardContext): LowRank {
    if (!ctx.gates) {
      throw new UnimoerError(
        'NO_GATES',
        `${base.name}: got no gates for its experts, expected the router's; add the adapter's hooks to the forward context`,
      );
    }
    return {
      A: sideBySide(
        this.pairs.map((pair) => pair.A),
        0,
      ),
      B: sideBySide(
        this.pairs.map((pair) => pair.B),
        -1,
      ),
      rankScale: this.rankScale,
      rankExpert: this.rankExpert,
      gates: ctx.gates.gates,
      rowToGate: ctx.gates.rowToGate,
      sparseGates: ctx.gates.sparse ?? false,
    };
  }

  parameters(): AdapterParameter[] {
    return this.pairs.flatMap((pair, e) => {
      const { name, task } = this.experts[e]!;
      return pairParameters(`${this.linear.name}.experts.${name}`, pair, task);
    });
  }

  dispose(): void {
    for (const pair of this.pairs) disposePair(pair);
    this.rankScale.dispose();
    this.rankExpert.dispose();
  }
}

function sideBySide(tensors: Tensor[], axis: 0 | -1): Tensor {
  return tensors.length === 1 ? tensors[0]! : concat(tensors, axis);
}

function constant(values: number[], options: BuildOptions): Tensor {
  const { backend, dtype = 'f32' } = options;
  return keep(tensor(values, [values.length], { backend, dtype }));
}

function pairParameters(
  prefix: string,
  pair: LowRankPair,
  task: Task | 'shared',
): AdapterParameter[] {
  return [
    { name: `${prefix}.lora_A`, tensor: pair.A, group: 'adapter', task },
    { name: `${prefix}.lora_B`, tensor: pair.B, group: 'adapter', task },
  ];
}

function disposePair(pair: LowRankPair): void {
  pair.A.dispose();
  pair.B.dispose();
}
