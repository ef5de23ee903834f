import { evaluate, type Run, searchDense, trecOrder } from '@unimoer/eval-beir';
import type { TrainedModel } from '@unimoer/train';
import { InputError } from '../lib/errors.js';
import type { Baseline, EndpointResult } from '../report/types.js';
import { candidates, type PreparedDataset } from './prepare.js';
import type { StudyConfig } from './schema.js';

export interface EvaluateHooks {
  signal?: AbortSignal;
  /** Share of the work that is done, 0 to 1. */
  onProgress?: (share: number) => void;
}

function judged(config: StudyConfig, data: PreparedDataset, run: Run): EndpointResult {
  const { metrics, perQuery } = evaluate(data.test.qrels, run, {
    metrics: config.evaluation.metrics,
    complete: true,
  });
  return { metrics, perQuery: Object.fromEntries(perQuery) };
}

/** Exact search over the pool with every test query. */
export async function evaluateEmbedding(
  config: StudyConfig,
  data: PreparedDataset,
  model: TrainedModel,
  hooks: EvaluateHooks,
): Promise<EndpointResult> {
  const { corpus, queries } = data.test;
  const { maxLength } = config.evaluation.embedding;
  const ids = [...queries.keys()];
  const texts = data.pool.map((position) => corpus.texts[position]!);
  const total = texts.length + ids.length;
  const encode = (what: string[], kind: 'query' | 'document', before: number) =>
    model.encodeTexts(what, kind, {
      maxLength,
      batchTokens: config.evaluation.batchTokens,
      signal: hooks.signal,
      onProgress: (event) => {
        if (event.type === 'encode') hooks.onProgress?.((before + event.done) / total);
      },
    });
  const queryVectors = await encode([...queries.values()], 'query', 0);
  const documentVectors = await encode(texts, 'document', ids.length);
  const documents = {
    ids: data.pool.map((position) => corpus.ids[position]!),
    vectors: documentVectors,
  };
  const run = searchDense({ ids, vectors: queryVectors }, documents, {
    dim: queryVectors.length / ids.length,
    top: Math.min(1000, data.pool.length),
  });
  return judged(config, data, run);
}

/** BM25's best of each query, ordered by the model's scores. */
export async function evaluateReranking(
  config: StudyConfig,
  data: PreparedDataset,
  model: TrainedModel,
  hooks: EvaluateHooks,
): Promise<EndpointResult> {
  const { corpus, queries } = data.test;
  const { maxLength, top } = config.evaluation.reranking;
  const jobs = [...queries].flatMap(([query, text]) =>
    candidates(data, query, top).map((document) => ({ query, text, document })),
  );
  const pairs = jobs.map(
    ({ text, document }) => [text, corpus.texts[corpus.index.get(document)!]!] as const,
  );
  const scores = await model.scorePairs(pairs, {
    maxLength,
    batchTokens: config.evaluation.batchTokens,
    signal: hooks.signal,
    onProgress: (event) => {
      if (event.type === 'encode') hooks.onProgress?.(event.done / pairs.length);
    },
  });
  const run: Run = new Map();
  jobs.forEach(({ query, document }, i) => {
    const score = scores[i]!;
    if (!Number.isFinite(score)) {
      throw new InputError({
        where: `query ${JSON.stringify(query)}, document ${JSON.stringify(document)}`,
        got: `score ${score}`,
        expected: 'a finite score',
        remedy: 'check the weights, or lower the learning rate',
      });
    }
    const ranking = run.get(query);
    if (ranking) ranking.push({ id: document, score });
    else run.set(query, [{ id: document, score }]);
  });
  return judged(config, data, run);
}

/** What needs no model: BM25 on both endpoints. */
export function baselines(config: StudyConfig, data: PreparedDataset): Baseline[] {
  const { top } = config.evaluation.reranking;
  const pool = new Set(data.pool.map((position) => data.test.corpus.ids[position]!));
  const inPool: Run = new Map();
  const head: Run = new Map();
  for (const [query, documents] of data.testRun) {
    const ordered = trecOrder(documents);
    inPool.set(
      query,
      ordered.filter(({ id }) => pool.has(id)),
    );
    head.set(query, ordered.slice(0, top));
  }
  const common = { name: 'bm25', label: 'BM25', dataset: data.name };
  return [
    { ...common, endpoint: 'embedding', ...judged(config, data, inPool) },
    { ...common, endpoint: 'reranking', ...judged(config, data, head) },
  ];
}
