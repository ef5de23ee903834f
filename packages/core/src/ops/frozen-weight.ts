import { getBackend } from '../backend/registry';
import type { Backend } from '../backend/types';
import { type DType, dtypeCode } from '../dtype';
import { BackendError, DisposedError, DTypeError, InputError, ShapeError } from '../errors';
import { tensor } from '../tensor/create';
import { empty, Tensor } from '../tensor/tensor';
import {
  packBuffer,
  type Quantization,
  type QuantizeOptions,
  quantization,
  quantize,
} from './shared/quantized';

/** What a frozen weight's elements are stored in; f64 only on the reference backend. */
export type WeightDType = 'f32' | 'bf16' | 'f64' | 'int8' | 'int4';

/** How to store a frozen weight. */
export type PackOptions = ({ dtype: 'f32' | 'bf16' | 'f64' } | QuantizeOptions) & {
  backend?: Backend;
  /**
   * Also pack for gradients towards the input, at the price of a second pack. Default true; one copy of a
   * quantised weight serves both directions, whatever this says.
   */
  forBackward?: boolean;
  /** Named in errors. */
  name?: string;
};

/** Frees the packs of weights that were dropped without dispose(). */
const dropped = new FinalizationRegistry<Tensor[]>((packs) => {
  for (const pack of packs) pack.dispose();
});

/**
 * A matrix that is never trained, stored once in the order the GEMM reads it. A quantised one (int8, int4)
 * stands for its dequantised values q · scale: they are what products use, rounded to bf16 beside bf16
 * activations, and what gradients towards the input go through; 8-bit rounding of activations counts as the
 * identity there (straight-through). It takes 1 byte a weight in int8 and 0.5 + 2 / groupSize in int4, and
 * has the same bits on every backend and instruction set.
 */
export class FrozenWeight {
  private constructor(
    readonly outFeatures: number,
    readonly inFeatures: number,
    readonly dtype: WeightDType,
    /** Layout of a quantised weight, else null. */
    readonly quantization: Quantization | null,
    readonly backend: Backend,
    readonly name: string,
    private forward: Tensor | null,
    private reverse: Tensor | null,
  ) {
    const packs = reverse ? [forward!, reverse] : [forward!];
    dropped.register(this, packs, this);
  }

  /**
   * Packs w [out, in], row-major: f32 numbers, raw bf16 bits (Uint16Array) or a tensor. NaN and infinite
   * weights are refused with an InputError, and so are options that do not belong to the dtype.
   */
  static pack(
    w: Float32Array | Float64Array | Uint16Array | Tensor,
    shape: readonly [number, number],
    options: PackOptions,
  ): FrozenWeight {
    const { dtype, forBackward = true, name = 'weight' } = options;
    const [n, k] = shape;
    const spec = quantization(name, options, k);
    const size = w instanceof Tensor ? w.size : w.length;
    if (size !== n * k) {
      throw new ShapeError({ where: name, got: `${size} values`, expected: `[${n}, ${k}]` });
    }
    checkFinite(w, name);
    const backend = options.backend ?? (w instanceof Tensor ? w.backend : getBackend());
    const source = w instanceof Tensor ? w : upload(w, shape, backend);
    try {
      if (spec) {
        const stored = quantize(source, spec, n, k);
        return new FrozenWeight(n, k, dtype, spec, backend, name, stored, null);
      }
      const plain = dtype as 'f32' | 'bf16' | 'f64';
      const forward = pack(source, plain, n, k, false, backend);
      const reverse = forBackward ? pack(source, plain, n, k, true, backend) : null;
      return new FrozenWeight(n, k, dtype, null, backend, name, forward, reverse);
    } finally {
      if (source !== w) source.dispose();
    }
  }

  /** What is stored for y = x Wᵀ: the pack, or the quantised weight. */
  get packed(): Tensor {
    if (this.forward === null) throw new DisposedError(`${this.name} was disposed`);
    return this.forward;
  }

  /** What is stored for dx = dy W: the pack, or the quantised weight. */
  get packedTranspose(): Tensor {
    if (this.quantization) return this.packed;
    if (this.reverse === null) {
      throw new BackendError({
        where: this.name,
        got: 'a gradient through a weight packed for the forward pass only',
        expected: 'a weight packed for both',
        remedy: 'pack it with forBackward: true or run under noGrad',
      });
    }
    return this.reverse;
  }

  /** The values that a quantised weight stands for, f32 [out, in]. Throws DTypeError for other weights. */
  dequantize(): Tensor {
    const q = this.quantization;
    if (q === null) {
      throw new DTypeError({
        where: this.name,
        got: this.dtype,
        expected: 'an int8 or int4 weight',
      });
    }
    const shape = [this.outFeatures, this.inFeatures];
    const w = empty(shape, 'f32', this.backend);
    const args = [q.bits, q.group, dtypeCode.f32, ...shape];
    this.backend.launch('dequantize_weight', [this.packed.handle, w.handle], args);
    return w;
  }

  dispose(): void {
    dropped.unregister(this);
    this.forward?.dispose();
    this.reverse?.dispose();
    this.forward = null;
    this.reverse = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function upload(
  w: Float32Array | Float64Array | Uint16Array,
  shape: readonly number[],
  backend: Backend,
): Tensor {
  const dtype = w instanceof Uint16Array ? 'bf16' : w instanceof Float64Array ? 'f64' : 'f32';
  return tensor(w, shape, { dtype, backend });
}

function pack(
  w: Tensor,
  dtype: DType,
  n: number,
  k: number,
  transposed: boolean,
  backend: Backend,
): Tensor {
  const code = dtypeCode[dtype];
  const bytes = transposed ? backend.packedBytes(code, k, n) : backend.packedBytes(code, n, k);
  const packed = packBuffer(backend, bytes, n, k, dtype);
  try {
    backend.launch(
      'pack_weight',
      [w.handle, packed.handle],
      [w.code, code, n, k, transposed ? 1 : 0],
    );
  } catch (error) {
    packed.dispose();
    throw error;
  }
  return packed;
}

function checkFinite(w: Float32Array | Float64Array | Uint16Array | Tensor, name: string): void {
  const values = w instanceof Tensor ? w.toArray() : w;
  const bad =
    values instanceof Uint16Array
      ? values.findIndex((bits) => (bits & 0x7f80) === 0x7f80)
      : firstNonFinite(values);
  if (bad >= 0) {
    throw new InputError({
      where: name,
      got: `a NaN or infinite weight at index ${bad}`,
      expected: 'finite weights',
      remedy: 'use an undamaged checkpoint',
    });
  }
}

/** Index of the first value that is not finite, or -1. */
function firstNonFinite(values: ArrayLike<number>): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i]!)) return i;
  return -1;
}
