import {
  type Backend,
  type DType,
  ForwardContext,
  FrozenWeight,
  getBackend,
  type LayerHook,
  Linear,
  type PackedBatch,
  Philox,
  packBatch,
  type Task,
  type Tensor,
  tanh,
  tensor,
} from '@unimoer/core';

export const backend: Backend = getBackend('reference');

/** Values in (−0.5, 0.5) from Philox. */
export function noise(size: number, stream: number): Float64Array {
  const random = new Philox(11, stream);
  return Float64Array.from({ length: size }, () => random.uniform() - 0.5);
}

/** A stack of square linears, one a layer, with tanh between them. */
export class Toy {
  readonly linears: Linear[];

  constructor(
    readonly width = 5,
    readonly layers = 2,
    readonly dtype: 'f32' | 'f64' = 'f32',
  ) {
    this.linears = Array.from({ length: layers }, (_, layer) => {
      const values = noise(width * width, layer);
      const weight = FrozenWeight.pack(
        dtype === 'f64' ? values : Float32Array.from(values),
        [width, width],
        { dtype, backend },
      );
      return new Linear(`encoder.layer.${layer}.dense`, layer, weight, null);
    });
  }

  input(batch: PackedBatch): Tensor {
    const values = noise(batch.tokens * this.width, 99);
    return tensor(values, [batch.tokens, this.width], { dtype: this.dtype, backend });
  }

  run(batch: PackedBatch, hooks: readonly LayerHook[] = [], x = this.input(batch)): Tensor {
    return this.forward(new ForwardContext(batch, { hooks: [...hooks] }), x);
  }

  forward(ctx: ForwardContext, x = this.input(ctx.batch)): Tensor {
    let hidden = x;
    for (const linear of this.linears) {
      for (const hook of ctx.hooks) hook.beginLayer(linear.layer, hidden, ctx);
      hidden = tanh(linear.forward(hidden, ctx));
    }
    return hidden;
  }

  options(dtype: DType = this.dtype) {
    return { seed: 3, hiddenSize: this.width, backend, dtype };
  }
}

export function batchOf(lengths: readonly number[], tasks?: Task[]): PackedBatch {
  return packBatch(
    lengths.map((length) => new Array<number>(length).fill(1)),
    { backend, tasks },
  );
}

/** Fills the B factors, which start at zero, and the routers, so that every path carries signal. */
export function randomize(parameters: readonly { tensor: Tensor }[], amplitude = 1): void {
  parameters.forEach(({ tensor: t }, i) => {
    t.set(noise(t.size, 1000 + i).map((v) => v * amplitude));
  });
}

export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let worst = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
  return worst;
}
