/** How far two arrays are apart, in the ways tests ask. */

/** Largest |a − b| over the largest |b|; NaN where either holds one. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let size = 0;
  for (let i = 0; i < a.length; i++) {
    if (Number.isNaN(a[i]!) || Number.isNaN(b[i]!)) return Number.NaN;
    difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
    size = Math.max(size, Math.abs(b[i]!));
  }
  return difference === 0 ? 0 : difference / Math.max(size, Number.MIN_VALUE);
}

/** Throws unless |a − b| <= atol + rtol |b| everywhere, naming the first place where it is not. */
export function assertAllClose(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { rtol = 1e-5, atol = 1e-8, what = 'arrays' } = {},
): void {
  if (a.length !== b.length) throw new Error(`${what}: ${a.length} values, expected ${b.length}`);
  for (let i = 0; i < a.length; i++) {
    if (!(Math.abs(a[i]! - b[i]!) <= atol + rtol * Math.abs(b[i]!))) {
      throw new Error(`${what}[${i}]: got ${a[i]}, expected ${b[i]} (rtol ${rtol}, atol ${atol})`);
    }
  }
}
