import { studentT } from '@unimoer/eval-beir';
import { AnalysisError } from './errors.js';

/** Scores or differences by [seed][query]; every seed holds the same queries in the same order. */
export type SeedQueryMatrix = readonly (readonly number[])[];

export interface Interval {
  readonly lo: number;
  readonly hi: number;
}

/** An estimate with a t reference distribution; every test of the package starts from one. */
export interface Estimate {
  readonly mean: number;
  readonly se: number;
  readonly df: number;
}

export interface TTest extends Estimate {
  readonly t: number;
  /** Two-sided. */
  readonly p: number;
  readonly ci95: Interval;
}

export interface VarianceComponents {
  /** Seed (σ_a²), query (σ_b²), residual (σ_e²). */
  readonly seed: number;
  readonly query: number;
  readonly residual: number;
}

export interface CrossedTest extends TTest {
  readonly seeds: number;
  readonly queries: number;
  readonly meanSquares: VarianceComponents;
  /** Moment estimates, possibly negative. */
  readonly rawComponents: VarianceComponents;
  /** The same with negative values set to 0. */
  readonly components: VarianceComponents;
  /** True when MS_S + MS_Q − MS_E fell below max(MS_S, MS_Q) and the floor was used. */
  readonly floored: boolean;
}

/** Completes an estimate to a two-sided t test against 0. Zero variance: p is 1 at mean 0, else 0; never NaN. */
export function tTest(estimate: Estimate, confidence = 0.95): TTest {
  const { mean, se, df } = estimate;
  if (se === 0) {
    const t = mean === 0 ? 0 : mean > 0 ? Infinity : -Infinity;
    return { mean, se, df, t, p: mean === 0 ? 1 : 0, ci95: { lo: mean, hi: mean } };
  }
  const t = mean / se;
  return { mean, se, df, t, p: studentT.twoSided(t, df), ci95: interval(estimate, confidence) };
}

/** Two-sided confidence interval of an estimate. */
export function interval(estimate: Estimate, confidence = 0.95): Interval {
  const { mean, se, df } = estimate;
  const half = se === 0 ? 0 : studentT.quantile(0.5 + confidence / 2, df) * se;
  return { lo: mean - half, hi: mean + half };
}

/** Mean of independent values with its standard error: the one-sample t model. Needs two values. */
export function meanEstimate(values: readonly number[]): Estimate {
  const n = values.length;
  if (n < 2) {
    throw new AnalysisError({
      where: 'meanEstimate',
      got: `${n} value(s)`,
      expected: 'at least 2',
      remedy: 'add replicates',
    });
  }
  const m = mean(values);
  let ss = 0;
  for (const v of values) ss += (v - m) ** 2;
  return { mean: m, se: Math.sqrt(ss / (n - 1) / n), df: n - 1 };
}

/** Arithmetic mean (NaN of nothing). */
export function mean(values: readonly number[]): number {
  let s = 0;
  for (const v of values) s += v;
  return s / values.length;
}

export interface MeanSquares extends VarianceComponents {
  readonly grand: number;
  readonly seedMeans: number[];
  readonly queryMeans: number[];
}

/** Two-way mean squares without replication. Residual is 0 when there is one seed or one query. */
export function meanSquares(data: SeedQueryMatrix): MeanSquares {
  checkMatrix(data, 1);
  const s = data.length;
  const q = data[0]!.length;
  const seedMeans = data.map((row) => mean(row));
  const queryMeans = Array.from({ length: q }, (_, j) => columnMean(data, j));
  const grand = mean(seedMeans);
  let seed = 0;
  let query = 0;
  let residual = 0;
  for (const m of seedMeans) seed += (m - grand) ** 2;
  for (const m of queryMeans) query += (m - grand) ** 2;
  for (let i = 0; i < s; i++) {
    for (let j = 0; j < q; j++) {
      residual += (data[i]![j]! - seedMeans[i]! - queryMeans[j]! + grand) ** 2;
    }
  }
  return {
    grand,
    seedMeans,
    queryMeans,
    seed: s > 1 ? (q * seed) / (s - 1) : 0,
    query: q > 1 ? (s * query) / (q - 1) : 0,
    residual: s > 1 && q > 1 ? residual / ((s - 1) * (q - 1)) : 0,
  };
}

/**
 * The study's primary test: d_sq = μ + a_s + b_q + e_sq with random seeds and random queries, so that the answer holds
 * for new seeds and new queries. Var(d̄) = (MS_S + MS_Q − MS_E)/(SQ), floored at max(MS_S, MS_Q)/(SQ) in the variance and
 * in Satterthwaite's degrees of freedom. `data` is [S][Q] with S ≥ 2 and Q ≥ 2.
 */
export function crossedTest(data: SeedQueryMatrix): CrossedTest {
  checkMatrix(data, 2);
  const s = data.length;
  const q = data[0]!.length;
  const ms = meanSquares(data);
  const sum = ms.seed + ms.query - ms.residual;
  const floor = Math.max(ms.seed, ms.query);
  const numerator = Math.max(sum, floor);
  const denominator =
    ms.seed ** 2 / (s - 1) + ms.query ** 2 / (q - 1) + ms.residual ** 2 / ((s - 1) * (q - 1));
  const df = denominator > 0 ? numerator ** 2 / denominator : s - 1;
  const raw = {
    seed: (ms.seed - ms.residual) / q,
    query: (ms.query - ms.residual) / s,
    residual: ms.residual,
  };
  return {
    ...tTest({ mean: ms.grand, se: Math.sqrt(numerator / (s * q)), df }),
    seeds: s,
    queries: q,
    meanSquares: { seed: ms.seed, query: ms.query, residual: ms.residual },
    rawComponents: raw,
    components: {
      seed: Math.max(0, raw.seed),
      query: Math.max(0, raw.query),
      residual: raw.residual,
    },
    floored: floor > sum,
  };
}

/** Secondary: t over seed means. Holds for these queries and new seeds; needs two seeds. */
export function seedTest(data: SeedQueryMatrix): TTest {
  checkMatrix(data, 2, 1);
  return tTest(meanEstimate(meanSquares(data).seedMeans));
}

/** Secondary: t over seed-averaged queries. Holds for these checkpoints and new queries. */
export function queryTest(data: SeedQueryMatrix): TTest {
  checkMatrix(data, 1, 2);
  return tTest(meanEstimate(meanSquares(data).queryMeans));
}

/** Refuses ragged, too small or non-finite matrices. */
export function checkMatrix(data: SeedQueryMatrix, minSeeds: number, minQueries = minSeeds): void {
  const q = data[0]?.length ?? 0;
  if (data.length < minSeeds || q < minQueries) {
    throw new AnalysisError({
      where: 'seeds × queries matrix',
      got: `${data.length} × ${q}`,
      expected: `at least ${minSeeds} × ${minQueries}`,
      remedy: 'run more seeds or evaluate more queries',
    });
  }
  data.forEach((row, i) => {
    if (row.length !== q) {
      throw new AnalysisError({
        where: `seeds × queries matrix, seed row ${i}`,
        got: `${row.length} queries`,
        expected: `${q}`,
        remedy: 'every seed must be scored on the same queries',
      });
    }
    const bad = row.findIndex((v) => !Number.isFinite(v));
    if (bad >= 0) {
      throw new AnalysisError({
        where: `seeds × queries matrix, seed row ${i}, query column ${bad}`,
        got: String(row[bad]),
        expected: 'a finite number',
        remedy: 'evaluate the missing query or leave it out of every seed',
      });
    }
  });
}

function columnMean(data: SeedQueryMatrix, column: number): number {
  let s = 0;
  for (const row of data) s += row[column]!;
  return s / data.length;
}
