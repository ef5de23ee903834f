import { normal } from './distributions.js';

/** Sample size up to which the exact distribution is used where there are no zeros and no ties. */
const EXACT_LIMIT = 50;
/** Sample size, zeros counted, up to which all sign flips are enumerated where there are zeros or ties. */
const PERMUTATION_LIMIT = 13;

/**
 * Two-sided Wilcoxon signed-rank test with the defaults of scipy.stats.wilcoxon 1.17: zeros dropped, no continuity
 * correction; exact up to 50 differences without zeros or ties, all sign flips up to 13 with them, else the normal
 * approximation with the correction for ties. All differences 0: p 1.
 */
export function wilcoxon(differences: readonly number[]): number {
  const nonZero = differences.filter((d) => d !== 0);
  if (nonZero.length === 0) return 1;
  const { ranks, tieSum } = averageRanks(nonZero.map(Math.abs));
  let plus = 0;
  for (let i = 0; i < ranks.length; i++) if (nonZero[i]! > 0) plus += ranks[i]!;
  const irregular = tieSum > 0 || nonZero.length < differences.length;
  if (!irregular && nonZero.length <= EXACT_LIMIT) return exact(plus, nonZero.length);
  if (differences.length <= PERMUTATION_LIMIT) return permuted(plus, ranks);
  const n = nonZero.length;
  const variance = (n * (n + 1) * (2 * n + 1) - tieSum / 2) / 24;
  const z = (plus - (n * (n + 1)) / 4) / Math.sqrt(variance);
  return Math.min(1, 2 * normal.cdf(-Math.abs(z)));
}

/** Ranks from 1 with ties averaged, and the sum of t^3 - t over groups of ties. */
function averageRanks(values: readonly number[]): { ranks: number[]; tieSum: number } {
  const order = values.map((_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const ranks = new Array<number>(values.length);
  let tieSum = 0;
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end += 1;
    const group = end - start;
    for (let i = start; i < end; i++) ranks[order[i]!] = (start + 1 + end) / 2;
    tieSum += group ** 3 - group;
    start = end;
  }
  return { ranks, tieSum };
}

/** Exact two-sided p of the sum of positive ranks among the subsets of 1..n. */
function exact(plus: number, n: number): number {
  const total = (n * (n + 1)) / 2;
  let probability = new Float64Array(total + 1);
  probability[0] = 1;
  for (let rank = 1; rank <= n; rank++) {
    const next = new Float64Array(total + 1);
    for (let s = 0; s <= total; s++) {
      next[s] = (probability[s]! + (s >= rank ? probability[s - rank]! : 0)) / 2;
    }
    probability = next;
  }
  const smaller = Math.min(plus, total - plus);
  let tail = 0;
  for (let s = 0; s <= smaller; s++) tail += probability[s]!;
  return Math.min(1, 2 * tail);
}

function permuted(plus: number, ranks: readonly number[]): number {
  let atMost = 0;
  let atLeast = 0;
  const count = 2 ** ranks.length;
  for (let mask = 0; mask < count; mask++) {
    let total = 0;
    for (let i = 0; i < ranks.length; i++) if ((mask >> i) & 1) total += ranks[i]!;
    if (total <= plus) atMost += 1;
    if (total >= plus) atLeast += 1;
  }
  return Math.min(1, (2 * Math.min(atMost, atLeast)) / count);
}
