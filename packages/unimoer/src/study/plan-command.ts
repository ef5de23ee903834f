import { minimumDetectable } from '@unimoer/analysis';
import type { Io } from '../lib/io.js';
import { formatDuration } from '../lib/progress.js';
import type { Endpoint } from '../report/types.js';
import { cellFlops } from './estimate.js';
import { loadStudy } from './load.js';
import { lengthFromTokenizer, loadBackbone, measureThroughput } from './model.js';
import { prepareDataset } from './prepare.js';
import { newState } from './runner.js';
import type { StudyConfig } from './schema.js';

/** Smallest absolute effect that a design finds with 80 % power at two-sided 5 %. */
interface Detectable {
  endpoint: Endpoint;
  dataset: string;
  queries: number;
  /** By number of seeds; null where one seed leaves no degree of freedom. */
  bySeeds: { seeds: number; effect: number | null }[];
}

function detectable(config: StudyConfig, dataset: string, queries: number): Detectable[] {
  const designs = [...new Set([config.seeds.length, 2, 3, 5, 8])].sort((a, b) => a - b);
  return (['embedding', 'reranking'] as const).flatMap((endpoint) => {
    const components = config.pilot?.[endpoint];
    if (!components) return [];
    return [
      {
        endpoint,
        dataset,
        queries,
        bySeeds: designs.map((seeds) => ({
          seeds,
          effect: seeds < 2 ? null : minimumDetectable(components, seeds, queries),
        })),
      },
    ];
  });
}

/** `study plan`: loads data and model, measures this machine for a moment, runs nothing of the study. */
export async function planStudy(file: string, profile: string | undefined, io: Io): Promise<void> {
  const path = io.path(file);
  const study = loadStudy(path, profile);
  const { config } = study;
  const state = newState(study, path);
  const datasets = await Promise.all(
    config.datasets.map((d) => prepareDataset(config, d, study.datasetPaths[d.name]!, null)),
  );
  for (const warning of datasets.flatMap((data) => data.warnings)) io.warn(warning);
  const first = config.backbones[0]!;
  const loaded = loadBackbone(study.models[first.name]!, study.folder, config.training.dtype);
  const costs = cellFlops(path, state, datasets, lengthFromTokenizer(loaded.tokenizer));
  const flopsPerSecond = measureThroughput(loaded.backbone, state.backbones[first.name]!);

  const arms = [...new Set(state.cells.map((cell) => cell.arm))].map((arm) => {
    const own = state.cells.filter((cell) => cell.arm === arm).map((cell) => costs.get(cell.key)!);
    const sum = (key: 'trainTokens' | 'evaluationTokens' | 'flops') =>
      own.reduce((total, cost) => total + cost[key], 0);
    return {
      arm,
      cells: own.length,
      trainTokens: Math.round(sum('trainTokens')),
      evaluationTokens: Math.round(sum('evaluationTokens')),
      tflop: sum('flops') / 1e12,
    };
  });
  const tflop = arms.reduce((total, arm) => total + arm.tflop, 0);
  const seconds = (tflop * 1e12) / flopsPerSecond;
  const detect = datasets.flatMap((d) => detectable(config, d.name, d.test.queries.size));
  const plan = {
    study: config.name,
    profile: study.profile,
    cells: state.cells.length,
    seeds: config.seeds,
    arms,
    tflop,
    gflopsPerSecond: flopsPerSecond / 1e9,
    seconds,
    pools: datasets.map((d) => ({ dataset: d.name, documents: d.pool.length })),
    detectable: detect,
    cuts: study.cuts,
  };
  io.result(plan, () => formatPlan(plan));
}

const millions = (tokens: number) => `${(tokens / 1e6).toFixed(2)}M`;

function formatPlan(plan: {
  study: string;
  profile: string;
  cells: number;
  seeds: number[];
  arms: {
    arm: string;
    cells: number;
    trainTokens: number;
    evaluationTokens: number;
    tflop: number;
  }[];
  tflop: number;
  gflopsPerSecond: number;
  seconds: number;
  pools: { dataset: string; documents: number }[];
  detectable: Detectable[];
  cuts: { what: string; full: string; used: string }[];
}): string {
  const lines = [
    `study ${plan.study}, profile ${plan.profile}: ${plan.cells} cells, seeds ${plan.seeds.join(', ')}`,
    ...plan.pools.map((pool) => `${pool.dataset}: ${pool.documents} documents in the pool`),
    '',
    `${'arm'.padEnd(20)} cells  train tokens  evaluation tokens   TFLOP`,
    ...plan.arms.map((arm) =>
      [
        arm.arm.padEnd(20),
        String(arm.cells).padStart(5),
        millions(arm.trainTokens).padStart(13),
        millions(arm.evaluationTokens).padStart(18),
        arm.tflop.toFixed(1).padStart(7),
      ].join(' '),
    ),
    '',
    `${plan.tflop.toFixed(0)} TFLOP at ${plan.gflopsPerSecond.toFixed(0)} GFLOP/s measured here: about ${formatDuration(plan.seconds)}`,
    '',
  ];
  if (plan.detectable.length === 0) {
    lines.push('detectable effect: unknown before a first run (no pilot variances in the file)');
  }
  for (const { endpoint, dataset, queries, bySeeds } of plan.detectable) {
    const cells = bySeeds.map(({ seeds, effect }) =>
      effect === null ? `${seeds} seed: none` : `${seeds} seeds: ${effect.toFixed(3)}`,
    );
    lines.push(
      `detectable at 80 % power, ${endpoint} on ${dataset} (${queries} queries): ${cells.join(', ')}`,
    );
  }
  for (const cut of plan.cuts) lines.push(`cut: ${cut.what} ${cut.used} instead of ${cut.full}`);
  return lines.join('\n');
}
