import type { CellResult, DatasetInfo, Endpoint, QueryGroup, StudyResults } from './types.js';

export type GroupName = 'all' | QueryGroup;
export const GROUPS: readonly GroupName[] = ['all', 'seen', 'unseen'];
export const ENDPOINTS: readonly Endpoint[] = ['embedding', 'reranking'];

/** Where an endpoint is measured: one row of the pre-registered family. */
export interface Place {
  endpoint: Endpoint;
  dataset: string;
  backbone: string;
}

/** Primary metric by [seed][query], with the labels of both axes. */
export interface Scores {
  seeds: (number | null)[];
  queries: string[];
  values: number[][];
}

export function datasetOf(results: StudyResults, name: string): DatasetInfo {
  const found = results.datasets.find((d) => d.dataset === name);
  if (found === undefined) throw new RangeError(`study results have no dataset "${name}"`);
  return found;
}

/** Cells of an arm in one place, seeds ascending; only those evaluated on the endpoint. */
export function cellsOf(results: StudyResults, arm: string, place: Place): CellResult[] {
  return results.cells
    .filter(
      (c) =>
        c.arm === arm &&
        c.dataset === place.dataset &&
        c.backbone === place.backbone &&
        c[place.endpoint] !== null,
    )
    .sort((a, b) => (a.seed ?? -1) - (b.seed ?? -1));
}

/**
 * Scores of several arms over the queries that all of their cells answered (in id order), optionally of one group only.
 * Null when an arm has no cell there or no query is left.
 */
export function alignedScores(
  results: StudyResults,
  arms: readonly string[],
  place: Place,
  group: GroupName = 'all',
): Scores[] | null {
  const info = datasetOf(results, place.dataset);
  const metric = info.endpoints[place.endpoint]?.primaryMetric;
  if (metric === undefined) return null;
  const cells = arms.map((arm) => cellsOf(results, arm, place));
  if (cells.some((list) => list.length === 0)) return null;
  const tables = cells.map((list) => list.map((cell) => cell[place.endpoint]!.perQuery));
  const queries = Object.keys(tables[0]![0]!)
    .filter((q) => group === 'all' || info.groups[q] === group)
    .filter((q) => tables.every((list) => list.every((t) => t[q]?.[metric] !== undefined)))
    .sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  if (queries.length === 0) return null;
  return tables.map((list, k) => ({
    seeds: cells[k]!.map((cell) => cell.seed),
    queries,
    values: list.map((t) => queries.map((q) => t[q]![metric]!)),
  }));
}

/** Mean primary metric of every seed of an arm. Null when it was not evaluated there. */
export function seedMeans(
  results: StudyResults,
  arm: string,
  place: Place,
  group: GroupName = 'all',
): { seeds: (number | null)[]; means: number[]; queries: number } | null {
  const scores = alignedScores(results, [arm], place, group)?.[0];
  if (scores === undefined) return null;
  const means = scores.values.map((row) => row.reduce((s, v) => s + v, 0) / row.length);
  return { seeds: scores.seeds, means, queries: scores.queries.length };
}

/** Mean of a baseline's primary metric over a group; null without per-query values for a proper group. */
export function baselineMean(
  results: StudyResults,
  name: string,
  endpoint: Endpoint,
  dataset: string,
  group: GroupName,
): number | null {
  const info = datasetOf(results, dataset);
  const metric = info.endpoints[endpoint]?.primaryMetric;
  const baseline = results.baselines.find(
    (b) => b.name === name && b.endpoint === endpoint && b.dataset === dataset,
  );
  if (baseline === undefined || metric === undefined) return null;
  if (baseline.perQuery === undefined) {
    return group === 'all' ? (baseline.metrics[metric] ?? null) : null;
  }
  const values = Object.entries(baseline.perQuery)
    .filter(([q]) => group === 'all' || info.groups[q] === group)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .flatMap(([, v]) => v[metric] ?? []);
  return values.length === 0 ? null : values.reduce((s, v) => s + v, 0) / values.length;
}

/** All endpoints × datasets × backbones of the study, in its own order. */
export function places(results: StudyResults): Place[] {
  return results.backbones.flatMap(({ backbone }) =>
    results.datasets.flatMap((info) =>
      ENDPOINTS.filter((e) => info.endpoints[e] !== undefined).map((endpoint) => ({
        endpoint,
        dataset: info.dataset,
        backbone,
      })),
    ),
  );
}
