import { InputError } from '../errors.js';
import { type Run, type ScorePrecision, trecOrder } from '../trec/order.js';
import type { Qrels } from '../trec/qrels.js';
import { judge, measure } from './measures.js';
import { DEFAULT_METRICS, parseMetrics } from './names.js';

/** How {@link evaluate} averages and compares. */
export interface EvaluateOptions {
  /** Metric names, see {@link METRIC_NAMES}; default {@link DEFAULT_METRICS}. */
  metrics?: readonly string[];
  /** Average over all queries of the qrels, one that the run lacks counting 0 (trec_eval `-c`). Default: queries in both. */
  complete?: boolean;
  /** Precision in which scores are compared; default float32. */
  precision?: ScorePrecision;
  /** Name of the run in error messages. */
  name?: string;
}

/** Means and per-query values of a run. */
export interface Evaluation {
  metrics: Record<string, number>;
  /** Number of queries that the means are over. */
  queries: number;
  /** Values of exactly those queries, in the order of the qrels. */
  perQuery: Map<string, Record<string, number>>;
  /** Queries of the run without judgements, and judged queries that the run lacks. */
  onlyInRun: number;
  onlyInQrels: number;
}

/**
 * Evaluates a run as trec_eval 9 does (documents in the order of {@link trecOrder}).
 * Throws {@link InputError} where no query is in both, a metric is unknown, or a score is not finite.
 */
export function evaluate(qrels: Qrels, run: Run, options: EvaluateOptions = {}): Evaluation {
  const specs = parseMetrics(options.metrics ?? DEFAULT_METRICS);
  const perQuery = new Map<string, Record<string, number>>();
  let common = 0;
  for (const [query, judgements] of qrels) {
    const documents = run.get(query);
    if (documents !== undefined) common += 1;
    else if (options.complete !== true) continue;
    for (const { id, score } of documents ?? []) {
      if (!Number.isFinite(score)) throw notFinite(options.name ?? 'run', query, id, score);
    }
    const judged = judge(trecOrder(documents ?? [], options.precision), judgements);
    perQuery.set(query, Object.fromEntries(specs.map((spec) => [spec.key, measure(spec, judged)])));
  }
  if (common === 0) {
    throw new InputError({
      where: options.name ?? 'run',
      got: 'no query that the qrels hold',
      expected: 'at least one query in both files',
      remedy: 'check that run and qrels belong to the same collection and split',
    });
  }
  const metrics: Record<string, number> = {};
  for (const { key } of specs) {
    let sum = 0;
    for (const values of perQuery.values()) sum += values[key]!;
    metrics[key] = sum / perQuery.size;
  }
  return {
    metrics,
    queries: perQuery.size,
    perQuery,
    onlyInRun: run.size - common,
    onlyInQrels: qrels.size - common,
  };
}

function notFinite(name: string, query: string, id: string, score: number): InputError {
  return new InputError({
    where: name,
    got: `score ${score} for query ${JSON.stringify(query)}, document ${JSON.stringify(id)}`,
    expected: 'finite scores',
    remedy: 'mend what produced the run',
  });
}
