import type { Backend } from '../../backend/types';
import { type DType, dtypeCode } from '../../dtype';
import { InputError } from '../../errors';
import { Storage } from '../../tensor/storage';
import { Tensor } from '../../tensor/tensor';

/** How a frozen weight is stored in fewer bits, and what its products do with activations. */
export type QuantizeOptions = {
  /**
   * 'int8' (default): `linear` rounds every row of x to 8 bits by its own scale, max |x| / 127, and sums
   * integers. 'full': x stays as it is and the weight is dequantised.
   */
  activations?: 'int8' | 'full';
} & (
  | {
      /** Symmetric integers −127…127 with one f32 scale per output, max |w| / 127. */
      dtype: 'int8';
    }
  | {
      /**
       * 16 unevenly spaced values, denser around zero, with one bf16 scale per output and group of inputs that is
       * searched for the least squared error.
       */
      dtype: 'int4';
      /** Neighbouring inputs that share a scale, a multiple of 16; the last group may be shorter. Default 32. */
      groupSize?: number;
    }
);

/** A quantised weight's layout, as kernels take it. */
export interface Quantization {
  readonly bits: 8 | 4;
  /** 0 for int8. */
  readonly group: number;
  /** Whether `linear` rounds activations to 8 bits. */
  readonly integer: boolean;
}

/** Inputs that share a scale; beyond it, sums of 8-bit products could leave int32. */
const maxIntegerDepth = 131072;

/** Checks the options of a weight with this many inputs; null where it is not quantised. Throws InputError. */
export function quantization(
  name: string,
  options: { dtype: string; activations?: string; groupSize?: number },
  inFeatures: number,
): Quantization | null {
  const { dtype, activations, groupSize } = options;
  const fault = (got: string, expected: string, remedy: string): InputError =>
    new InputError({ where: name, got, expected, remedy });
  if (!['f32', 'bf16', 'f64', 'int8', 'int4'].includes(dtype)) {
    throw fault(`dtype '${dtype}'`, 'f32, bf16, int8 or int4', 'choose one of them');
  }
  if (dtype !== 'int8' && dtype !== 'int4') {
    if (groupSize === undefined && activations === undefined) return null;
    throw fault(`groupSize or activations for ${dtype}`, 'neither', 'they belong to int8 and int4');
  }
  if (activations !== undefined && activations !== 'int8' && activations !== 'full') {
    throw fault(`activations '${activations}'`, `'int8' or 'full'`, 'choose one of them');
  }
  if (dtype === 'int8' && groupSize !== undefined) {
    throw fault(`groupSize ${groupSize} for int8`, 'no groupSize', 'int8 has one scale per output');
  }
  const group = dtype === 'int8' ? 0 : (groupSize ?? 32);
  if (dtype === 'int4' && !(Number.isInteger(group) && group > 0 && group % 16 === 0)) {
    throw fault(`groupSize ${group}`, 'a multiple of 16', 'use 32, 64 or 128');
  }
  if (group > 2 ** 20) throw fault(`groupSize ${group}`, 'at most 1048576', 'use 32, 64 or 128');
  const integer = activations !== 'full';
  const depth = dtype === 'int8' ? inFeatures : Math.min(group, inFeatures);
  if (integer && depth > maxIntegerDepth) {
    const expected = `at most ${maxIntegerDepth} to a scale with 8-bit activations`;
    throw fault(`${depth} inputs`, expected, `pack it with activations: 'full'`);
  }
  return { bits: dtype === 'int8' ? 8 : 4, group, integer };
}

/** A buffer for the pack, held by a tensor that only kernels read. */
export function packBuffer(
  backend: Backend,
  bytes: number,
  n: number,
  k: number,
  as: DType,
): Tensor {
  return new Tensor([n, k], as, n * k, new Storage(backend, backend.alloc(bytes)));
}

/** Quantises w [n, k]. */
export function quantize(w: Tensor, q: Quantization, n: number, k: number): Tensor {
  const { backend } = w;
  const bytes = backend.quantizedBytes(q.bits, q.group, n, k);
  const packed = packBuffer(backend, bytes, n, k, 'f32');
  try {
    backend.launch('quantize_weight', [w.handle, packed.handle], [w.code, q.bits, q.group, n, k]);
  } catch (error) {
    packed.dispose();
    throw error;
  }
  return packed;
}

/**
 * The dequantised weight, packed for products with activations of a dtype: what a bf16 or f32 FrozenWeight
 * of the same numbers holds. The caller disposes of it.
 */
export function expand(
  packed: Tensor,
  q: Quantization,
  n: number,
  k: number,
  dtype: DType,
  reverse: boolean,
): Tensor {
  const { backend } = packed;
  const code = dtypeCode[dtype];
  const bytes = reverse ? backend.packedBytes(code, k, n) : backend.packedBytes(code, n, k);
  const result = packBuffer(backend, bytes, n, k, dtype);
  try {
    backend.launch(
      'expand_quantized',
      [packed.handle, result.handle],
      [q.bits, q.group, code, n, k, reverse ? 1 : 0],
    );
  } catch (error) {
    result.dispose();
    throw error;
  }
  return result;
}
