/** Shape and dtype rules that ops share; every complaint names the op. */
import { gradEnabled } from '../../autograd/node';
import type { DType } from '../../dtype';
import { BackendError, DTypeError, ShapeError } from '../../errors';
import type { Tensor } from '../../tensor/tensor';

export function show(t: Tensor): string {
  return `${t.dtype} [${t.shape.join(', ')}]`;
}

export function shapeFault(op: string, got: string, expected: string, remedy?: string): never {
  throw new ShapeError({ where: op, got, expected, ...(remedy ? { remedy } : {}) });
}

/** Refuses integers where an op computes on reals. */
export function checkReal(op: string, x: Tensor): void {
  if (x.dtype === 'i32') {
    throw new DTypeError({
      where: op,
      got: show(x),
      expected: 'f32, bf16 or f64',
      remedy: 'cast it first',
    });
  }
}

export function checkDType(op: string, what: string, x: Tensor, dtype: DType): void {
  if (x.dtype !== dtype) {
    throw new DTypeError({
      where: `${op} ${what}`,
      got: show(x),
      expected: dtype,
      remedy: 'cast it first',
    });
  }
}

/** Integer vector of a given length, such as positions or targets. */
export function checkInts(op: string, what: string, x: Tensor, length: number | null): void {
  checkDType(op, what, x, 'i32');
  if (x.shape.length !== 1 || (length !== null && x.size !== length)) {
    shapeFault(`${op} ${what}`, `[${x.shape.join(', ')}]`, `[${length ?? 'n'}]`);
  }
}

export function checkBackend(op: string, a: Tensor, b: Tensor): void {
  if (a.backend !== b.backend) {
    throw new BackendError({
      where: op,
      got: `tensors on ${a.backend.name} and ${b.backend.name}`,
      expected: 'one backend',
    });
  }
}

/** A residual [T, columns] in x's dtype, for x [T, in]. */
export function checkResidual(op: string, x: Tensor, residual: Tensor, columns: number): void {
  checkBackend(op, x, residual);
  checkDType(op, 'residual', residual, x.dtype);
  const want = [x.shape[0]!, columns];
  if (residual.shape.length !== 2 || residual.shape.some((d, i) => d !== want[i])) {
    shapeFault(`${op} residual`, show(residual), `[${want.join(', ')}]`);
  }
}

export function checkRank(op: string, what: string, x: Tensor, rank: number): void {
  if (x.shape.length !== rank) {
    shapeFault(`${op} ${what}`, `[${x.shape.join(', ')}]`, `${rank} dimensions`);
  }
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function checkSame(op: string, what: string, a: Tensor, b: Tensor): void {
  if (a.dtype !== b.dtype || !sameShape(a.shape, b.shape)) {
    shapeFault(`${op} ${what}`, show(b), `${show(a)} as the first input`);
  }
  checkBackend(op, a, b);
}

/** Parameter vector of `length` beside activations x: f32, or f64 beside f64. */
export function checkVector(
  op: string,
  what: string,
  v: Tensor | null,
  x: Tensor,
  length: number,
): void {
  if (v === null) return;
  checkDType(op, what, v, x.dtype === 'f64' ? 'f64' : 'f32');
  if (v.size !== length || v.shape.length !== 1) {
    shapeFault(`${op} ${what}`, `[${v.shape.join(', ')}]`, `[${length}]`);
  }
  checkBackend(op, x, v);
}

/** Size of the last axis; a scalar counts as one column. */
export function lastDim(x: Tensor): number {
  return x.shape.length === 0 ? 1 : x.shape[x.shape.length - 1]!;
}

export function rowsOf(x: Tensor): number {
  const cols = lastDim(x);
  return cols === 0 ? 0 : x.size / cols;
}

/** True if an op on these inputs goes on the tape. */
export function wantsGrad(...inputs: readonly (Tensor | null | undefined)[]): boolean {
  if (!gradEnabled()) return false;
  for (let i = 0; i < inputs.length; i++) if (inputs[i]?.requiresGrad) return true;
  return false;
}
