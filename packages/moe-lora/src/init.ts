import { type Backend, type DType, keep, Philox, type Tensor, tensor } from '@unimoer/core';

/** 32-bit FNV-1a, which turns a parameter's name into the number of its random stream. */
export function streamOf(key: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(key)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return hash;
}

export interface InitOptions {
  seed: number;
  /** Names the random stream; equal keys and seeds give equal bits, whatever else was drawn before. */
  key: string;
  backend?: Backend;
  dtype?: DType;
}

/** Trainable `[rows, columns]` from U(−1/√columns, 1/√columns): Kaiming-uniform with a = √5. */
export function kaimingUniform(rows: number, columns: number, options: InitOptions): Tensor {
  const random = new Philox(options.seed, streamOf(options.key));
  const bound = 1 / Math.sqrt(columns);
  const values = Float32Array.from(
    { length: rows * columns },
    () => (2 * random.uniform() - 1) * bound,
  );
  return trainable(values, [rows, columns], options);
}

/** Trainable `[rows, columns]` from N(0, std²); zeros where std is 0. */
export function gaussian(rows: number, columns: number, std: number, options: InitOptions): Tensor {
  const random = new Philox(options.seed, streamOf(options.key));
  const values = new Float32Array(rows * columns);
  if (std !== 0) for (let i = 0; i < values.length; i++) values[i] = random.normal() * std;
  return trainable(values, [rows, columns], options);
}

/** A trainable tensor that no scope disposes. */
export function trainable(
  values: Float32Array,
  shape: number[],
  options: { backend?: Backend; dtype?: DType; key: string },
): Tensor {
  return keep(
    tensor(values, shape, {
      dtype: options.dtype ?? 'f32',
      backend: options.backend,
      requiresGrad: true,
      name: options.key,
    }),
  );
}
