/**
 * How far a backend may be from the reference, as largest difference over largest value. bf16 keeps 8 bits,
 * so one rounding is 2^-9 = 0.002 of a value; sums and chains of ops add up.
 */
export interface Tolerance {
  forward: number;
  gradient: number;
}

/** Gradient checks in f64: relative error against central differences. */
export const gradcheckTolerance = 1e-5;

/** A fused op against its twin, both in f64. */
export const twinTolerance = 1e-9;

export const dtypeTolerance: Readonly<Record<'f32' | 'bf16', Tolerance>> = {
  f32: { forward: 2e-6, gradient: 1e-5 },
  bf16: { forward: 8e-3, gradient: 1.6e-2 },
};

/** Ops that need more, and why. */
export const opTolerance: Readonly<Record<string, Partial<Record<'f32' | 'bf16', Tolerance>>>> = {
  // A, Z, B and y are each rounded to bf16, and the low-rank part is most of y in this case.
  linearGroup: { bf16: { forward: 1.2e-2, gradient: 1.6e-2 } },
};

export function toleranceOf(op: string, dtype: 'f32' | 'bf16'): Tolerance {
  return opTolerance[op]?.[dtype] ?? dtypeTolerance[dtype];
}
