import { studentT } from '@unimoer/eval-beir';
import { type Estimate, type Interval, interval } from './crossed.js';

export interface EquivalenceTest {
  /** The larger of the two one-sided p values. */
  readonly p: number;
  readonly lowerP: number;
  readonly upperP: number;
  /** Equivalence at 5 % is the same as this 90 % interval lying inside the bounds. */
  readonly ci90: Interval;
}

export interface NonInferiority {
  /** p of H0: effect ≥ δ. */
  readonly p: number;
  /** One-sided 95 % upper bound of the effect. */
  readonly upper95: number;
}

/** Two one-sided tests that `low < effect < high` (Schuirmann 1987). */
export function tost(estimate: Estimate, low: number, high: number): EquivalenceTest {
  const lowerP = oneSided(estimate.mean - low, estimate);
  const upperP = oneSided(high - estimate.mean, estimate);
  return { p: Math.max(lowerP, upperP), lowerP, upperP, ci90: interval(estimate, 0.9) };
}

/** One-sided test that harm stays below `delta` (effect > 0 is harm). */
export function nonInferiority(estimate: Estimate, delta: number): NonInferiority {
  const { mean, se, df } = estimate;
  return {
    p: oneSided(delta - mean, estimate),
    upper95: se === 0 ? mean : mean + studentT.quantile(0.95, df) * se,
  };
}

/** P(T > margin/se): small when the margin is clearly above 0. */
function oneSided(margin: number, { se, df }: Estimate): number {
  if (se === 0) return margin > 0 ? 0 : 1;
  return studentT.cdf(-margin / se, df);
}
