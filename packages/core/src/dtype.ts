import { bf16ToFloat32, float32ToBf16 } from './bf16';
import { DTypeError } from './errors';

/** Element types. bf16 is stored as its upper 16 bits; f64 exists for gradient checks on the reference backend. */
export type DType = 'f32' | 'bf16' | 'i32' | 'f64';

/** Codes that kernels receive. */
export const dtypeCode: Readonly<Record<DType, number>> = { f32: 0, bf16: 1, i32: 2, f64: 3 };

/** Bytes of one element. */
export const dtypeBytes: Readonly<Record<DType, number>> = { f32: 4, bf16: 2, i32: 4, f64: 8 };

export type TypedArray = Float32Array | Float64Array | Int32Array | Uint16Array;

/** Dtype of statistics, reductions and gradients of parameters: f32, or f64 on f64 data. */
export function statDType(dtype: DType): DType {
  return dtype === 'f64' ? 'f64' : 'f32';
}

/** Converts numbers to the storage of `dtype`; a Uint16Array given for bf16 is taken as raw bits. */
export function toStorage(data: ArrayLike<number>, dtype: DType): TypedArray {
  switch (dtype) {
    case 'f32':
      return data instanceof Float32Array ? data : Float32Array.from(data);
    case 'f64':
      return data instanceof Float64Array ? data : Float64Array.from(data);
    case 'i32':
      return data instanceof Int32Array ? data : toInt32(data);
    case 'bf16':
      return data instanceof Uint16Array ? data : float32ToBf16(data);
  }
}

/** Widens storage to numbers: bf16 becomes f32, all else is returned as it is. */
export function fromStorage(data: TypedArray): Float32Array | Float64Array | Int32Array {
  return data instanceof Uint16Array ? bf16ToFloat32(data) : data;
}

/** Empty storage for `size` elements. */
export function newStorage(dtype: DType, size: number): TypedArray {
  if (dtype === 'f32') return new Float32Array(size);
  if (dtype === 'f64') return new Float64Array(size);
  return dtype === 'i32' ? new Int32Array(size) : new Uint16Array(size);
}

function toInt32(data: ArrayLike<number>): Int32Array {
  const out = new Int32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!;
    if (!Number.isInteger(value) || value !== (value | 0)) {
      throw new DTypeError({
        where: 'tensor',
        got: `${value} at index ${i}`,
        expected: 'a 32-bit integer for dtype i32',
        remedy: 'round the data or choose f32',
      });
    }
    out[i] = value;
  }
  return out;
}
