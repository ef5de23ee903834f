/** What a row of the case table is made of. */
import type { Backend } from '../backend/types';
import type { DType } from '../dtype';
import { Philox } from '../rng/philox';
import { tensor } from '../tensor/create';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

/** How an input is filled: normal numbers, positive ones, ones away from zero, or the given ones. */
export type Fill = 'normal' | 'positive' | 'offZero' | readonly number[];

/** An input; data follows the case's dtype, parameters stay f32 beside bf16, f32 always is, integers are i32. */
export interface InputSpec {
  shape: number[];
  fill: Fill;
  role: 'data' | 'parameter' | 'f32' | 'integer';
  grad: boolean;
}

export interface OpCase {
  /** Exported name of the op. */
  op: string;
  /** What this row varies. */
  label: string;
  inputs: InputSpec[];
  run: (inputs: Tensor[]) => Tensor;
  /** The same by plain ops, for fused ones. */
  twin?: (inputs: Tensor[]) => Tensor;
  /** Dtypes that every backend takes; the reference backend takes f64 too. */
  dtypes: readonly ('f32' | 'bf16')[];
  /** False where there is no gradient by definition. */
  differentiable: boolean;
  /** A shape from real models: compared between backends and timed, too big for finite differences. */
  large: boolean;
}

export function data(shape: number[], fill: Fill = 'normal'): InputSpec {
  return { shape, fill, role: 'data', grad: true };
}

export function parameter(shape: number[], fill: Fill = 'normal'): InputSpec {
  return { shape, fill, role: 'parameter', grad: true };
}

export function integers(values: readonly number[]): InputSpec {
  return { shape: [values.length], fill: values, role: 'integer', grad: false };
}

export function frozen(spec: InputSpec): InputSpec {
  return { ...spec, grad: false };
}

/** Completes a row. */
export function row(
  op: string,
  label: string,
  inputs: InputSpec[],
  run: (inputs: Tensor[]) => Tensor,
  rest: Partial<Pick<OpCase, 'twin' | 'dtypes' | 'differentiable' | 'large'>> = {},
): OpCase {
  return {
    op,
    label,
    inputs,
    run,
    dtypes: ['f32', 'bf16'],
    differentiable: true,
    large: false,
    ...rest,
  };
}

function values(spec: InputSpec, rng: Philox): number[] {
  const size = spec.shape.reduce((n, d) => n * d, 1);
  const { fill } = spec;
  if (typeof fill !== 'string') return [...fill];
  return Array.from({ length: size }, () => {
    const x = rng.normal();
    if (fill === 'positive') return 0.5 + Math.abs(x);
    return fill === 'offZero' ? x + 0.3 * Math.sign(x) : x;
  });
}

function dtypeOf(role: InputSpec['role'], dtype: DType): DType {
  if (role === 'integer') return 'i32';
  if (role === 'f32') return 'f32';
  return role === 'parameter' && dtype === 'bf16' ? 'f32' : dtype;
}

/** Makes a case's inputs in a dtype on a backend; equal seeds give equal numbers. */
export function makeInputs(spec: OpCase, dtype: DType, backend: Backend, seed = 11): Tensor[] {
  const rng = new Philox(seed);
  return spec.inputs.map((input) => {
    const own = dtypeOf(input.role, dtype);
    return keep(
      tensor(values(input, rng), input.shape, {
        dtype: own,
        backend,
        requiresGrad: input.grad && spec.differentiable,
      }),
    );
  });
}
