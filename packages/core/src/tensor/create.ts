import { getBackend } from '../backend/registry';
import type { Backend } from '../backend/types';
import type { DType } from '../dtype';
import { ShapeError } from '../errors';
import { empty, type Tensor } from './tensor';

/** Where and how a tensor is made; f32 (i32 for an Int32Array) on the default backend unless said. */
export interface TensorOptions {
  dtype?: DType;
  backend?: Backend;
  requiresGrad?: boolean;
  name?: string;
}

/** A tensor with the given elements in row-major order. Uint16Array with dtype bf16 is raw bits. */
export function tensor(
  data: ArrayLike<number> | ArrayBufferView,
  shape: readonly number[],
  options: TensorOptions = {},
): Tensor {
  const numbers = numeric(data);
  const y = make(shape, options, numbers instanceof Int32Array ? 'i32' : 'f32');
  y.set(numbers);
  return y;
}

/** A tensor of zeros. */
export function zeros(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return full(shape, 0, options);
}

/** A tensor of ones. */
export function ones(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return full(shape, 1, options);
}

/** A tensor of one repeated value. */
export function full(shape: readonly number[], value: number, options: TensorOptions = {}): Tensor {
  const y = make(shape, options, 'f32');
  if (y.dtype === 'i32') y.set(new Int32Array(y.size).fill(value));
  else y.backend.launch('fill', [y.handle], [y.code, y.size, value]);
  return y;
}

function make(shape: readonly number[], options: TensorOptions, fallback: DType): Tensor {
  if (shape.some((d) => !Number.isInteger(d) || d < 0)) {
    throw new ShapeError({
      where: 'tensor',
      got: `shape [${shape.join(', ')}]`,
      expected: 'non-negative integers',
    });
  }
  const y = empty(shape, options.dtype ?? fallback, options.backend ?? getBackend());
  y.name = options.name;
  if (options.requiresGrad) y.requiresGrad = true;
  return y;
}

function numeric(data: ArrayLike<number> | ArrayBufferView): ArrayLike<number> {
  if ('length' in data) return data;
  throw new ShapeError({
    where: 'tensor',
    got: 'a view without elements',
    expected: 'a typed array or numbers',
  });
}
