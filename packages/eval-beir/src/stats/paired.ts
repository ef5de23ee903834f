import { studentT } from './distributions.js';
import { randomBits } from './random.js';

/** Queries up to which the randomisation test enumerates all sign flips. */
const EXACT_QUERIES = 20;
const SAMPLED_FLIPS = 100_000;
/** Sums of the same numbers in another order may fall just below the observed one. */
const TOLERANCE = 1e-12;

/** Result of {@link pairedT}; `p` and `ci95` are null for fewer than two differences. */
export interface PairedT {
  mean: number;
  p: number | null;
  ci95: [number, number] | null;
}

/**
 * Paired two-sided t test of per-query differences, with its 95 % interval. All differences 0: p 1, interval [0, 0];
 * all equal but not 0: p 0, interval of width 0.
 */
export function pairedT(differences: readonly number[]): PairedT {
  const n = differences.length;
  const mean = n === 0 ? 0 : sum(differences) / n;
  if (n < 2) return { mean, p: null, ci95: null };
  // Equal up to the rounding of subtractions such as .5 - .4 and .6 - .5.
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const d of differences) {
    low = Math.min(low, d);
    high = Math.max(high, d);
  }
  if (high - low <= TOLERANCE * Math.abs(mean))
    return { mean, p: mean === 0 ? 1 : 0, ci95: [mean, mean] };
  let squares = 0;
  for (const d of differences) squares += (d - mean) ** 2;
  const error = Math.sqrt(squares / (n - 1) / n);
  const half = studentT.quantile(0.975, n - 1) * error;
  return { mean, p: studentT.twoSided(mean / error, n - 1), ci95: [mean - half, mean + half] };
}

/**
 * Fisher's randomisation test: two-sided p of |mean| under random signs. All 2^n signs up to 20 queries, else
 * `flips` seeded ones and (c + 1) / (B + 1), after Smucker, Allan and Carterette (CIKM 2007).
 */
export function randomizationTest(
  differences: readonly number[],
  options: { seed?: number; flips?: number } = {},
): number {
  const n = differences.length;
  if (differences.every((d) => d === 0)) return 1;
  const threshold = Math.abs(sum(differences)) - TOLERANCE * n;
  if (n <= EXACT_QUERIES) return countAll(differences, threshold) / 2 ** n;
  const flips = options.flips ?? SAMPLED_FLIPS;
  const next = randomBits(options.seed ?? 42);
  const values = Float64Array.from(differences);
  let count = 0;
  for (let flip = 0; flip < flips; flip++) {
    let total = 0;
    let bits = 0;
    for (let i = 0; i < n; i++) {
      if ((i & 31) === 0) bits = next();
      total += (bits & 1) === 1 ? values[i]! : -values[i]!;
      bits >>>= 1;
    }
    if (Math.abs(total) >= threshold) count += 1;
  }
  return (count + 1) / (flips + 1);
}

/** Signed sums of two halves are made once and combined, so that no error grows along an enumeration. */
function countAll(differences: readonly number[], threshold: number): number {
  const half = differences.length >> 1;
  const lower = signedSums(differences.slice(0, half));
  const upper = signedSums(differences.slice(half));
  let count = 0;
  for (const a of lower) for (const b of upper) if (Math.abs(a + b) >= threshold) count += 1;
  return count;
}

function signedSums(values: readonly number[]): Float64Array {
  const sums = new Float64Array(2 ** values.length);
  for (let mask = 0; mask < sums.length; mask++) {
    let total = 0;
    for (let i = 0; i < values.length; i++) {
      total += (mask >> i) & 1 ? values[i]! : -values[i]!;
    }
    sums[mask] = total;
  }
  return sums;
}

function sum(values: readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
