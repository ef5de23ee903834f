import { studentT } from '@unimoer/eval-beir';
import type { Estimate, VarianceComponents } from './crossed.js';
import { AnalysisError } from './errors.js';
import { noncentralTCdf } from './noncentral-t.js';

export interface PowerOptions {
  /** Two-sided significance level; 0.05. */
  readonly alpha?: number;
  /** Wanted power; 0.8. */
  readonly power?: number;
}

/** Standard error and Satterthwaite df that a seeds × queries design would have under given variance components. */
export function designError(
  components: VarianceComponents,
  seeds: number,
  queries: number,
): { se: number; df: number } {
  if (!(seeds >= 2 && queries >= 2)) {
    throw new AnalysisError({
      where: 'designError',
      got: `${seeds} seeds × ${queries} queries`,
      expected: 'at least 2 × 2',
      remedy: 'plan more seeds or queries',
    });
  }
  const e = components.residual;
  const msS = e + queries * components.seed;
  const msQ = e + seeds * components.query;
  const sum = msS + msQ - e;
  const denominator =
    msS ** 2 / (seeds - 1) + msQ ** 2 / (queries - 1) + e ** 2 / ((seeds - 1) * (queries - 1));
  return {
    se: Math.sqrt(sum / (seeds * queries)),
    df: denominator > 0 ? sum ** 2 / denominator : seeds - 1,
  };
}

/**
 * Smallest effect that a design finds with the wanted power: (t_{1−α/2} + t_{power}) · SE, on the scale of the components.
 * Components come from the pilot itself, never from a built-in constant.
 */
export function minimumDetectable(
  components: VarianceComponents,
  seeds: number,
  queries: number,
  options: PowerOptions = {},
): number {
  return minimumDetectableOf(designError(components, seeds, queries), options);
}

/** The same for an estimate that is already at hand (paired or unpaired). */
export function minimumDetectableOf(
  { se, df }: Pick<Estimate, 'se' | 'df'>,
  { alpha = 0.05, power = 0.8 }: PowerOptions = {},
): number {
  if (se === 0) return 0;
  return (studentT.quantile(1 - alpha / 2, df) + studentT.quantile(power, df)) * se;
}

/** Power of the crossed test against a true effect: noncentral t at the design's Satterthwaite df. */
export function crossedPower(
  components: VarianceComponents,
  seeds: number,
  queries: number,
  effect: number,
  { alpha = 0.05 }: PowerOptions = {},
): number {
  const { se, df } = designError(components, seeds, queries);
  if (se === 0) return effect === 0 ? alpha : 1;
  return twoSidedPower(effect / se, df, alpha);
}

/** Power of a paired t test over n queries at standardised effect d_z. */
export function pairedTPower(dz: number, n: number, alpha = 0.05): number {
  return twoSidedPower(dz * Math.sqrt(n), n - 1, alpha);
}

function twoSidedPower(ncp: number, df: number, alpha: number): number {
  const critical = studentT.quantile(1 - alpha / 2, df);
  return 1 - noncentralTCdf(critical, df, ncp) + noncentralTCdf(-critical, df, ncp);
}

export interface DesignSuggestion {
  readonly seeds: number;
  readonly queries: number;
}

export interface DesignOptions extends PowerOptions {
  readonly maxSeeds?: number;
  readonly maxQueries?: number;
}

/**
 * The designs (S, Q) that would detect `effect` with the wanted power: for each candidate seed count the fewest queries,
 * keeping only those that more seeds make smaller. Empty when none up to the limits does.
 */
export function designsForPower(
  components: VarianceComponents,
  effect: number,
  seedCounts: readonly number[] = [3, 5, 8, 12, 20],
  { maxQueries = 100_000, ...options }: DesignOptions = {},
): DesignSuggestion[] {
  const designs: DesignSuggestion[] = [];
  for (const seeds of seedCounts) {
    const enough = (q: number) => minimumDetectable(components, seeds, q, options) <= effect;
    if (!enough(maxQueries)) continue;
    let lo = 2;
    let hi = maxQueries;
    while (lo < hi) {
      const mid = Math.floor((lo + hi) / 2);
      if (enough(mid)) hi = mid;
      else lo = mid + 1;
    }
    if (designs.length === 0 || lo < designs[designs.length - 1]!.queries) {
      designs.push({ seeds, queries: lo });
    }
  }
  return designs;
}

/** Fewest seeds (2 … maxSeeds) that detect `effect` on this many queries; null when none does. */
export function seedsForPower(
  components: VarianceComponents,
  effect: number,
  queries: number,
  { maxSeeds = 200, ...options }: DesignOptions = {},
): number | null {
  for (let seeds = 2; seeds <= maxSeeds; seeds++) {
    if (minimumDetectable(components, seeds, queries, options) <= effect) return seeds;
  }
  return null;
}
