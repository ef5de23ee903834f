import { incompleteBeta, logGamma, normal } from '@unimoer/eval-beir';

/**
 * P(T ≤ t) of the noncentral t (real df > 0, noncentrality `delta`): the Poisson–beta series of Lenth (1989, AS 243),
 * summed outwards from its largest term. Absolute error below 1e-10 for |delta| up to 37.
 */
export function noncentralTCdf(t: number, df: number, delta: number): number {
  if (t < 0) return 1 - noncentralTCdf(-t, df, -delta);
  const base = normal.cdf(-delta);
  if (t === 0) return base;
  const x = (t * t) / (df + t * t);
  const lambda = (delta * delta) / 2;
  const term = (j: number): number => {
    const log = -lambda + (j === 0 ? 0 : j * Math.log(lambda));
    const even = 0.5 * Math.exp(log - logGamma(j + 1)) * incompleteBeta(x, j + 0.5, df / 2);
    const odd =
      (delta / (2 * Math.SQRT2)) *
      Math.exp(log - logGamma(j + 1.5)) *
      incompleteBeta(x, j + 1, df / 2);
    return even + odd;
  };
  const mode = Math.floor(lambda);
  let sum = 0;
  for (let j = mode; j >= 0; j--) {
    const add = term(j);
    sum += add;
    if (j < mode - 10 && Math.abs(add) < 1e-17) break;
  }
  for (let j = mode + 1; j < mode + 10_000; j++) {
    const add = term(j);
    sum += add;
    if (Math.abs(add) < 1e-17 && j > mode + 5) break;
  }
  return Math.min(1, Math.max(0, base + sum));
}
