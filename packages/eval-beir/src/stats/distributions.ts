import { erfc, incompleteBeta } from './special.js';

/** The standard normal distribution. */
export const normal = {
  /** P(Z <= z). */
  cdf(z: number): number {
    return erfc(-z / Math.SQRT2) / 2;
  },
  /** The z with P(Z <= z) = p, 0 < p < 1. */
  quantile(p: number): number {
    return invert(normal.cdf, p);
  },
};

/** Student's t distribution with any df > 0. */
export const studentT = {
  /** P(T <= t). */
  cdf(t: number, df: number): number {
    const tail = studentT.twoSided(t, df) / 2;
    return t < 0 ? tail : 1 - tail;
  },
  /** P(|T| >= |t|), without cancellation for large |t|. */
  twoSided(t: number, df: number): number {
    return incompleteBeta(df / (df + t * t), df / 2, 0.5);
  },
  /** The t with P(T <= t) = p, 0 < p < 1. */
  quantile(p: number, df: number): number {
    return invert((t) => studentT.cdf(t, df), p);
  },
};

/** Inverts a symmetric distribution function: bracket in the lower tail, where cdf has full precision, then bisect. */
function invert(cdf: (x: number) => number, p: number): number {
  if (!(p > 0 && p < 1)) throw new RangeError(`a probability between 0 and 1 is needed, got ${p}`);
  if (p === 0.5) return 0;
  if (p > 0.5) return -invert(cdf, 1 - p);
  let low = -1;
  while (cdf(low) > p) low *= 2;
  let high = low === -1 ? 0 : low / 2;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) return middle;
    if (cdf(middle) < p) low = middle;
    else high = middle;
  }
}
