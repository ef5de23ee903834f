import { CLAIM_SEEDS, fixed, type Verdict } from '@unimoer/analysis';
import type { ReportModel, VerdictRow } from './model.js';
import type { Endpoint, StudyResults } from './types.js';

export const ENDPOINT_NAMES: Record<Endpoint, string> = {
  embedding: 'Embedding',
  reranking: 'Reranking',
};

export const VERDICT_NAMES: Record<Verdict, string> = {
  confirmed: 'Interference confirmed',
  significant: 'Interference, size unsure',
  negligible: 'Real but negligible',
  small: 'Small interference',
  noInterference: 'No interference',
  synergy: 'Synergy',
  inconclusive: 'Inconclusive',
};

/** Percentage with sign, from a fraction. */
export function percent(value: number, digits = 1, sign = true): string {
  return `${fixed(value * 100, digits, sign)} %`;
}

/** Margins and targets are round numbers: no more decimals than they need. */
export function plainPercent(value: number): string {
  return `${String(Number((value * 100).toFixed(2)))} %`;
}

export function intervalWords(ci: readonly [number, number] | null, digits = 1): string {
  if (ci === null) return '—';
  return `[${fixed(ci[0] * 100, digits, true)}, ${fixed(ci[1] * 100, digits, true)}]`;
}

export function pValue(p: number | null): string {
  if (p === null) return '—';
  if (p < 0.001) return '<0.001';
  return p.toFixed(3);
}

/** Metric values: four decimals, as trec_eval prints them. */
export function score(value: number | null): string {
  return value === null ? '—' : fixed(value, 4);
}

export function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/** Floating-point operations in the largest unit that keeps them above 1. */
export function flops(value: number): string {
  const units = [
    [1e15, 'PFLOP'],
    [1e12, 'TFLOP'],
    [1e9, 'GFLOP'],
    [1e6, 'MFLOP'],
  ] as const;
  if (value === 0) return '0';
  const [size, unit] = units.find(([s]) => value >= s) ?? units[3];
  return `${(value / size).toFixed(2)} ${unit}`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** `nDCG@10` from `ndcg@10`; other names in upper case where they are acronyms. */
export function metricName(metric: string): string {
  const [name, cut] = metric.split('@');
  const known: Record<string, string> = {
    ndcg: 'nDCG',
    map: 'MAP',
    mrr: 'MRR',
    recall: 'Recall',
    p: 'P',
    rprec: 'R-Prec',
    bpref: 'bpref',
  };
  const head = known[name!] ?? name!;
  return cut === undefined ? head : `${head}@${cut}`;
}

export function placeName(
  results: StudyResults,
  row: { dataset: string; backbone: string },
): string {
  const dataset = results.datasets.find((d) => d.dataset === row.dataset)?.label ?? row.dataset;
  if (results.backbones.length < 2) return dataset;
  const backbone = results.backbones.find((b) => b.backbone === row.backbone)?.label;
  return `${dataset} · ${backbone ?? row.backbone}`;
}

/** The banner that stands on every page of a study with too few seeds; null for a study that may claim. */
export function exploratoryBanner(model: ReportModel): string | null {
  if (!model.exploratory) return null;
  return `Exploratory: ${plural(fewestSeeds(model), 'seed')}; a claim needs at least ${CLAIM_SEEDS}.`;
}

export function fewestSeeds(model: ReportModel): number {
  const seeds = model.verdicts.map((v) => v.comparison.seeds);
  return seeds.length === 0 ? model.results.seeds.length : Math.min(...seeds);
}

/** What the verdict of one endpoint rests on, in a sentence that a reader can quote after the verdict's name. */
export function verdictSentence(model: ReportModel, row: VerdictRow): string {
  const { comparison: c } = row;
  const theta = c.theta!;
  const delta = plainPercent(model.results.delta);
  const harm = plainPercent(2 * model.results.delta);
  const design = `${plural(c.seeds, 'seed')} and ${plural(c.queries, 'query', 'queries')}`;
  const moved =
    theta === 0
      ? 'the same as'
      : `${percent(Math.abs(theta), 1, false)} ${theta > 0 ? 'lower than' : 'higher than'}`;
  const interval = c.ci95 === null ? '' : `, 95 % CI ${intervalWords(c.ci95)}`;
  const measured = `Joint training scored ${moved} dedicated training (θ ${percent(theta)}${interval})`;
  if (c.estimate === null) {
    return `${measured}; with ${design} there is no estimate of how new seeds would vary, so no drop can be ruled out.`;
  }
  const tail = afterHolm(row);
  switch (row.verdict) {
    case 'confirmed':
      return `${measured}; even the lower end is at least ${harm}.${tail}`;
    case 'significant':
      return `${measured}; the drop is above 0, and whether it reaches ${harm} is open.${tail}`;
    case 'negligible':
      return `${measured}; the drop is above 0 and under the margin of ${delta}.${tail}`;
    case 'small':
      return `${measured}; the drop is above 0, and the interval does not place it under ${delta} or above ${harm}.${tail}`;
    case 'noInterference':
      return `${measured}; a drop of ${delta} or more is ruled out: the one-sided 95 % bound is ${percent(row.upper95!)}.`;
    case 'synergy':
      return `${measured}; the whole interval is on the side of a gain.${tail}`;
    case 'inconclusive':
      return `${measured}; a drop under ${percent(c.minimumDetectable!, 1, false)} would not have been seen with ${design}.`;
  }
}

function afterHolm(row: VerdictRow): string {
  if (row.pHolm === null || row.pHolm < 0.05) return '';
  return ` After Holm's correction over the study's family p is ${pValue(row.pHolm)}: treat it as not established.`;
}

/** Designs that would have found a drop of 2 δ, in words. */
export function designWords(model: ReportModel, row: VerdictRow): string {
  const target = plainPercent(2 * model.results.delta);
  if (row.comparison.components === null) return '';
  if (row.designs.length === 0) {
    return `No design up to 20 seeds × 100,000 queries would find a drop of ${target} with 80 % power under these variances.`;
  }
  const list = row.designs.map((d) => `${d.seeds} seeds × ${count(d.queries)} queries`);
  return `A drop of ${target} would be found with 80 % power by ${list.join(', or ')}.`;
}
