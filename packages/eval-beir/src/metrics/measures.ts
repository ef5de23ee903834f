import type { MetricSpec } from './names.js';

/** Persistence of rank-biased precision. */
const RBP_PERSISTENCE = 0.8;

/** What the measures of one query need: grades along its ranking (null: not judged) and the judgements' summary. */
export interface JudgedRanking {
  grades: (number | null)[];
  /** Positive grades of all judged documents, descending. */
  ideal: number[];
  relevant: number;
  /** Documents judged with grade 0. Negative grades count nowhere. */
  nonRelevant: number;
}

/** Joins a ranking with the judgements of its query. */
export function judge(
  ranking: readonly { id: string }[],
  judgements: ReadonlyMap<string, number>,
): JudgedRanking {
  const ideal: number[] = [];
  let nonRelevant = 0;
  for (const grade of judgements.values()) {
    if (grade >= 1) ideal.push(grade);
    else if (grade === 0) nonRelevant += 1;
  }
  ideal.sort((a, b) => b - a);
  return {
    grades: ranking.map(({ id }) => judgements.get(id) ?? null),
    ideal,
    relevant: ideal.length,
    nonRelevant,
  };
}

/**
 * One measure of one query, as trec_eval 9 defines it. A document is relevant from grade 1; nDCG's gain is the grade,
 * its discount 1 / log2(rank + 1). Without relevant documents every measure but `judged@k` is 0.
 */
export function measure(spec: MetricSpec, query: JudgedRanking): number {
  const k = spec.k ?? Number.POSITIVE_INFINITY;
  switch (spec.family) {
    case 'ndcg':
      return ndcg(query, k);
    case 'map':
      return averagePrecision(query, k);
    case 'mrr':
      return reciprocalRank(query, k);
    case 'p':
      return hits(query, k) / k;
    case 'recall':
      return share(hits(query, k), query.relevant);
    case 'rprec':
      return share(hits(query, query.relevant), query.relevant);
    case 'bpref':
      return binaryPreference(query);
    case 'judged':
      return judgedShare(query, k);
    case 'hit':
      return hits(query, k) > 0 ? 1 : 0;
    case 'rbp':
      return rankBiasedPrecision(query);
  }
}

function isRelevant(grade: number | null | undefined): boolean {
  return grade !== null && grade !== undefined && grade >= 1;
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

function hits({ grades }: JudgedRanking, k: number): number {
  let count = 0;
  for (let i = 0; i < grades.length && i < k; i++) if (isRelevant(grades[i])) count += 1;
  return count;
}

function discounted(gains: readonly (number | null)[], k: number): number {
  let sum = 0;
  for (let i = 0; i < gains.length && i < k; i++) {
    const gain = gains[i] ?? 0;
    if (gain > 0) sum += gain / Math.log2(i + 2);
  }
  return sum;
}

function ndcg({ grades, ideal }: JudgedRanking, k: number): number {
  return share(discounted(grades, k), discounted(ideal, k));
}

function averagePrecision({ grades, relevant }: JudgedRanking, k: number): number {
  let found = 0;
  let sum = 0;
  for (let i = 0; i < grades.length && i < k; i++) {
    if (!isRelevant(grades[i])) continue;
    found += 1;
    sum += found / (i + 1);
  }
  return share(sum, relevant);
}

function reciprocalRank({ grades }: JudgedRanking, k: number): number {
  const first = grades.findIndex(isRelevant);
  return first === -1 || first >= k ? 0 : 1 / (first + 1);
}

function binaryPreference({ grades, relevant, nonRelevant }: JudgedRanking): number {
  let above = 0;
  let sum = 0;
  for (const grade of grades) {
    if (grade === 0) above += 1;
    else if (isRelevant(grade)) {
      sum += above === 0 ? 1 : 1 - Math.min(above, relevant) / Math.min(nonRelevant, relevant);
    }
  }
  return share(sum, relevant);
}

function judgedShare({ grades }: JudgedRanking, k: number): number {
  const first = grades.slice(0, Math.min(k, grades.length));
  return share(first.filter((grade) => grade !== null).length, first.length);
}

function rankBiasedPrecision({ grades }: JudgedRanking): number {
  let weight = 1 - RBP_PERSISTENCE;
  let sum = 0;
  for (const grade of grades) {
    if (isRelevant(grade)) sum += weight;
    weight *= RBP_PERSISTENCE;
  }
  return sum;
}
