import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type FeatureStore,
  type RoutingSummary,
  type StepMetrics,
  type TrainableBackbone,
  type TrainResult,
  trainRun,
  type TrainTokenizer,
} from '@unimoer/train';
import { InterruptedError } from '../lib/errors.js';
import type { CellResult, Endpoint, LossPoint, RoutingRecord } from '../report/types.js';
import { type StudyArm, trainConfig } from './arms.js';
import { evaluateEmbedding, evaluateReranking } from './evaluate.js';
import type { PreparedDataset } from './prepare.js';
import type { StudyConfig } from './schema.js';
import { type Cell, type CellRecord, cellFolder } from './state.js';

/** What the cells of one backbone share in a process. */
export interface LoadedBackbone {
  backbone: TrainableBackbone;
  tokenizer: TrainTokenizer;
  cache: FeatureStore;
  /** Counted warnings since the last call, e.g. truncated texts. */
  takeWarnings(): string[];
}

export interface CellContext {
  dir: string;
  config: StudyConfig;
  arm: StudyArm;
  data: PreparedDataset;
  model: LoadedBackbone;
  signal: AbortSignal;
  /** Share of the cell that is done, 0 to 1, and what is being done. */
  onProgress(share: number, detail: string): void;
}

/** Rough shares of a cell's time, for the progress bar only. */
const trainShare = 0.6;

/** Endpoints that an arm is evaluated on: those it was trained for; without training, embedding. */
export function endpointsOf(arm: StudyArm): Endpoint[] {
  return arm.tasks.length === 0 ? ['embedding'] : [...arm.tasks];
}

/** Trains and evaluates one cell, continuing from its newest checkpoint. Throws InterruptedError on a signal. */
export async function runCell(cell: Cell, context: CellContext): Promise<CellRecord> {
  const { config, arm, data, model, signal } = context;
  const start = performance.now();
  const outDir = join(cellFolder(context.dir, cell), 'train');
  mkdirSync(outDir, { recursive: true });
  const trained = await trainRun(trainConfig(config.training, arm, cell.seed ?? 0), {
    backbone: model.backbone,
    tokenizer: model.tokenizer,
    data: {
      corpus: data.test.corpus,
      queries: data.trainQueries,
      qrels: data.trainQrels,
      candidates: data.trainCandidates,
    },
    cache: model.cache,
    outDir,
    resume: true,
    signal,
    onProgress: (event) => {
      if (event.type !== 'step') return;
      const { step } = event.metrics;
      context.onProgress((trainShare * step) / event.steps, `step ${step} of ${event.steps}`);
    },
  });
  if (trained.status === 'interrupted' || trained.model === null) throw new InterruptedError();
  try {
    const endpoints = endpointsOf(arm);
    const results: Record<Endpoint, CellResult['embedding']> = { embedding: null, reranking: null };
    trained.model.resetRouting();
    // Only evaluation counts: after a resume, training does not see every text again.
    model.takeWarnings();
    for (const [i, endpoint] of endpoints.entries()) {
      const evaluateEndpoint = endpoint === 'embedding' ? evaluateEmbedding : evaluateReranking;
      results[endpoint] = await evaluateEndpoint(config, data, trained.model, {
        signal,
        onProgress: (share) => {
          const before = arm.tasks.length === 0 ? 0 : trainShare;
          context.onProgress(
            before + ((1 - before) * (i + share)) / endpoints.length,
            endpoint === 'embedding' ? 'encoding the pool' : 'scoring pairs',
          );
        },
      });
      if (signal.aborted) throw new InterruptedError();
    }
    return {
      result: cellResult(cell, context, trained, results, (performance.now() - start) / 1000),
      warnings: model.takeWarnings(),
      peakBytes: process.resourceUsage().maxRSS * 1024,
    };
  } finally {
    trained.model.dispose();
  }
}

function cellResult(
  cell: Cell,
  { config, arm, data }: CellContext,
  { summary, model }: TrainResult,
  results: Record<Endpoint, CellResult['embedding']>,
  seconds: number,
): CellResult {
  const { steps } = summary;
  const alternating = config.training.schedule === 'alternate' && arm.tasks.length > 1;
  const stepsOf = (task: Endpoint): number => {
    if (!arm.tasks.includes(task)) return 0;
    if (!alternating) return steps;
    return task === 'embedding' ? Math.ceil(steps / 2) : Math.floor(steps / 2);
  };
  const examples = Object.fromEntries(
    arm.tasks.map((task) => [task, stepsOf(task) * config.training[task].queries]),
  );
  return {
    arm: cell.arm,
    seed: cell.seed,
    dataset: cell.dataset,
    backbone: cell.backbone,
    ...results,
    trainableParameters: summary.trainableParameters,
    tokens: summary.tokens,
    steps,
    examples,
    flops: summary.flops,
    seconds,
    losses: {
      ...(arm.tasks.includes('embedding') && { embedding: curve(summary.curve, 'embeddingLoss') }),
      ...(arm.tasks.includes('reranking') && { reranking: curve(summary.curve, 'rerankingLoss') }),
    },
    routing: routingRecord(model?.routing() ?? null, arm, data, config),
  };
}

function curve(metrics: StepMetrics[], key: 'embeddingLoss' | 'rerankingLoss'): LossPoint[] {
  return metrics.flatMap((m) => {
    const loss = m[key];
    return loss === undefined ? [] : [{ step: m.step, loss }];
  });
}

function routingRecord(
  summary: RoutingSummary | null,
  arm: StudyArm,
  data: PreparedDataset,
  config: StudyConfig,
): RoutingRecord | null {
  if (summary === null || arm.adapter?.kind !== 'moe') return null;
  const { mass, active } = summary;
  if (!mass.embedding || !mass.reranking || !active.embedding || !active.reranking) return null;
  const options = arm.adapter.router.options;
  const granularity = options && 'granularity' in options ? options.granularity : 'task';
  return {
    experts: summary.experts,
    unit: granularity === 'token' ? 'token' : granularity === 'task' ? 'task' : 'sequence',
    units: summary.sequences,
    source: `${data.test.queries.size} test queries, ${data.pool.length} documents and their pairs with BM25's ${config.evaluation.reranking.top} best`,
    layers: summary.layers.map((layer, i) => ({
      layer,
      mass: { embedding: mass.embedding![i]!, reranking: mass.reranking![i]! },
      activeExperts: { embedding: active.embedding![i]!, reranking: active.reranking![i]! },
    })),
  };
}
