import { InputError } from '../errors.js';
import type { Evaluation } from '../metrics/evaluate.js';
import { pairedT, randomizationTest } from './paired.js';
import { wilcoxon } from './wilcoxon.js';

/** Comparison of two runs in one metric over the queries that both and the qrels hold. */
export interface Comparison {
  metric: string;
  a: string;
  b: string;
  /** Mean of a - b. */
  delta: number;
  /** Two-sided p values; null where a single query allows none. */
  tTest: number | null;
  randomization: number;
  wilcoxon: number;
  ci95: [number, number] | null;
}

/** An evaluated run with its name and the queries that it really holds. */
export interface NamedEvaluation {
  name: string;
  evaluation: Evaluation;
  /** Queries of the run itself; with complete means `evaluation` also has those that it lacks. */
  queries: { has(id: string): boolean };
}

/**
 * Compares two evaluated runs metric by metric. Throws {@link InputError} where they share no judged query.
 * `seed` drives the randomisation test where it samples.
 */
export function compareRuns(
  a: NamedEvaluation,
  b: NamedEvaluation,
  options: { seed?: number } = {},
): Comparison[] {
  const common = [...a.evaluation.perQuery.keys()].filter(
    (query) => a.queries.has(query) && b.queries.has(query) && b.evaluation.perQuery.has(query),
  );
  if (common.length === 0) {
    throw new InputError({
      where: b.name,
      got: `no judged query that ${a.name} holds too`,
      expected: 'runs with a query in common',
      remedy: 'compare runs over the same queries',
    });
  }
  return Object.keys(a.evaluation.metrics).map((metric) => {
    const differences = common.map(
      (query) =>
        a.evaluation.perQuery.get(query)![metric]! - b.evaluation.perQuery.get(query)![metric]!,
    );
    const t = pairedT(differences);
    return {
      metric,
      a: a.name,
      b: b.name,
      delta: t.mean,
      tTest: t.p,
      randomization: randomizationTest(differences, options),
      wilcoxon: wilcoxon(differences),
      ci95: t.ci95,
    };
  });
}
