import { type Estimate, type Interval, interval } from './crossed.js';
import { nonInferiority, tost } from './equivalence.js';

export type Verdict =
  | 'confirmed'
  | 'significant'
  | 'negligible'
  | 'small'
  | 'noInterference'
  | 'synergy'
  | 'inconclusive';

/** Fewer seeds than this make a study exploratory, whatever its p values say. */
export const CLAIM_SEEDS = 5;

export interface VerdictOptions {
  /** Relative drop below which interference does not matter. Default 0.01. */
  readonly delta?: number;
  /** Relative drop that counts as confirmed interference. Default 2 δ. */
  readonly harm?: number;
  readonly seeds: number;
}

export interface VerdictResult {
  readonly verdict: Verdict;
  readonly ci95: Interval;
  readonly nonInferiorityP: number;
  readonly upper95: number;
  readonly equivalenceP: number;
  readonly exploratory: boolean;
}

/**
 * The pre-registered verdict on θ (θ > 0 is harm) from its 95 % interval [L, U]. Synergy (U < 0) is tested first; then
 * L ≥ harm confirmed; L > 0 with θ̂ ≥ harm significant, size unsure; L > 0 and U < δ real but negligible; any other L > 0
 * small; one-sided upper bound (or equivalence test) below δ no interference; else inconclusive.
 */
export function decideVerdict(theta: Estimate, options: VerdictOptions): VerdictResult {
  const delta = options.delta ?? 0.01;
  const harm = options.harm ?? 2 * delta;
  const ci95 = interval(theta);
  const inferiority = nonInferiority(theta, delta);
  const equivalence = tost(theta, -delta, delta);
  return {
    verdict: pick(theta.mean, ci95, inferiority.upper95, equivalence.p, delta, harm),
    ci95,
    nonInferiorityP: inferiority.p,
    upper95: inferiority.upper95,
    equivalenceP: equivalence.p,
    exploratory: options.seeds < CLAIM_SEEDS,
  };
}

function pick(
  theta: number,
  { lo, hi }: Interval,
  upper95: number,
  equivalenceP: number,
  delta: number,
  harm: number,
): Verdict {
  if (hi < 0) return 'synergy';
  if (lo >= harm) return 'confirmed';
  if (lo > 0 && theta >= harm) return 'significant';
  if (lo > 0 && hi < delta) return 'negligible';
  if (lo > 0) return 'small';
  if (upper95 < delta || equivalenceP < 0.05) return 'noInterference';
  return 'inconclusive';
}
