import { InputError } from '../errors.js';

/** A metric that has been parsed: its family and, where it has one, its cut-off. */
export interface MetricSpec {
  /** Lower-case key, for example `ndcg@10`. */
  key: string;
  family: MetricFamily;
  k: number | null;
}

/** Families of metrics; see {@link measure} for their definitions. */
export type MetricFamily =
  | 'ndcg'
  | 'map'
  | 'mrr'
  | 'p'
  | 'recall'
  | 'rprec'
  | 'bpref'
  | 'judged'
  | 'hit'
  | 'rbp';

/** Whether a family may, must or must not have `@k`. */
const CUTOFF: Record<MetricFamily, 'optional' | 'required' | 'none'> = {
  ndcg: 'optional',
  map: 'optional',
  mrr: 'optional',
  p: 'required',
  recall: 'required',
  rprec: 'none',
  bpref: 'none',
  judged: 'required',
  hit: 'required',
  rbp: 'none',
};

/** The names that {@link parseMetrics} accepts, for help texts and messages. */
export const METRIC_NAMES =
  'ndcg@k ndcg map map@k mrr mrr@k p@k recall@k rprec bpref judged@k hit@k rbp';

/** What is computed when nothing is asked for. */
export const DEFAULT_METRICS: readonly string[] = ['ndcg@10', 'map', 'recall@100', 'mrr@10'];

/**
 * Parses metric names, case-insensitively; repeated names count once.
 * Throws {@link InputError} (`where` is `metrics`) for a name that is unknown or has a wrong cut-off.
 */
export function parseMetrics(names: readonly string[], where = 'metrics'): MetricSpec[] {
  const specs = new Map<string, MetricSpec>();
  for (const name of names) {
    const spec = parseMetric(name.trim().toLowerCase(), name, where);
    specs.set(spec.key, spec);
  }
  if (specs.size === 0) throw unknownMetric('no metric', where);
  return [...specs.values()];
}

function parseMetric(key: string, original: string, where: string): MetricSpec {
  const match = /^([a-z]+)(?:@([1-9]\d{0,8}))?$/.exec(key);
  const family = match?.[1] as MetricFamily | undefined;
  if (match === null || family === undefined || !Object.hasOwn(CUTOFF, family)) {
    throw unknownMetric(JSON.stringify(original), where);
  }
  const k = match[2] === undefined ? null : Number(match[2]);
  const rule = CUTOFF[family];
  if ((rule === 'required' && k === null) || (rule === 'none' && k !== null)) {
    throw unknownMetric(JSON.stringify(original), where);
  }
  return { key, family, k };
}

function unknownMetric(got: string, where: string): InputError {
  return new InputError({
    where,
    got,
    expected: `names among ${METRIC_NAMES}, k from 1`,
    remedy: 'for example ndcg@10,map,recall@100',
  });
}
