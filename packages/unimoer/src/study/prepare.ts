import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type BeirSplit,
  Bm25,
  beirFile,
  evaluate,
  loadBeir,
  loadQrels,
  loadQueries,
  judgedQueries,
  type Qrels,
  type Queries,
  type Run,
} from '@unimoer/eval-beir';
import { writeFileAtomic } from '../lib/outputs.js';
import type { Endpoint, QueryGroup } from '../report/types.js';
import { hashFiles, hashOf } from './canonical.js';
import type { DatasetConfig, StudyConfig } from './schema.js';

/** Everything that the cells of one dataset share. */
export interface PreparedDataset {
  name: string;
  test: BeirSplit;
  trainQueries: Queries;
  trainQrels: Qrels;
  /** BM25's ranking of the training queries, deep enough for hard negatives. */
  trainCandidates: Map<string, string[]>;
  /** BM25's ranking of the test queries, deep enough for pool and reranking. */
  testRun: Run;
  /** Positions in the corpus of the documents that the embedding endpoint searches. */
  pool: number[];
  groups: Record<string, QueryGroup>;
  bm25: { metrics: Record<string, number>; perQuery: Record<string, Record<string, number>> };
  /** Hash of the files that were read. */
  hash: string;
  warnings: string[];
}

interface Rankings {
  train: Record<string, string[]>;
  test: Record<string, [id: string, score: number][]>;
}

function dataFiles(dataset: DatasetConfig, folder: string): { name: string; path: string }[] {
  return [
    'corpus.jsonl',
    'queries.jsonl',
    join('qrels', `${dataset.trainSplit}.tsv`),
    join('qrels', `${dataset.testSplit}.tsv`),
  ].map((name) => ({ name, path: beirFile(folder, name) }));
}

/** Hash of the files of a dataset that a study reads. */
export function datasetHash(dataset: DatasetConfig, folder: string): string {
  return hashFiles(dataFiles(dataset, folder));
}

const positives = (grades: ReadonlyMap<string, number>): string[] =>
  [...grades].filter(([, grade]) => grade > 0).map(([id]) => id);

/** A query is `seen` when every gold document is a positive of some training query. */
function groupsOf(test: Qrels, train: Qrels): Record<string, QueryGroup> {
  const trained = new Set([...train.values()].flatMap(positives));
  return Object.fromEntries(
    [...test].map(([query, grades]) => {
      const gold = positives(grades);
      return [query, gold.length > 0 && gold.every((id) => trained.has(id)) ? 'seen' : 'unseen'];
    }),
  );
}

/** Without the training queries that share a gold document with a test query. */
function leakFree(train: Qrels, test: Qrels): Qrels {
  const tested = new Set([...test.values()].flatMap(positives));
  return new Map(
    [...train].filter(([, grades]) => !positives(grades).some((id) => tested.has(id))),
  );
}

function rankings(
  split: BeirSplit,
  trainQueries: Queries,
  depth: { train: number; test: number },
  cacheFile: string | null,
): Rankings {
  if (cacheFile && existsSync(cacheFile)) return JSON.parse(readFileSync(cacheFile, 'utf8'));
  const bm25 = new Bm25(split.corpus.ids, split.corpus.texts);
  const train = bm25.searchAll(trainQueries, depth.train);
  const test = bm25.searchAll(split.queries, depth.test);
  const result: Rankings = {
    train: Object.fromEntries([...train].map(([query, found]) => [query, found.map((d) => d.id)])),
    test: Object.fromEntries(
      [...test].map(([query, found]) => [query, found.map(({ id, score }) => [id, score])]),
    ),
  };
  if (cacheFile) writeFileAtomic(cacheFile, JSON.stringify(result));
  return result;
}

/**
 * Loads a dataset and what its cells share: BM25's rankings (kept in `cacheFolder`), the pool, and
 * which test queries have only gold documents that training saw. Input errors name file and line.
 */
export async function prepareDataset(
  config: StudyConfig,
  dataset: DatasetConfig,
  folder: string,
  cacheFolder: string | null,
): Promise<PreparedDataset> {
  const warnings: string[] = [];
  const onWarning = (message: string): void => {
    warnings.push(message.replaceAll(`${folder}/`, `${dataset.name}: `));
  };
  const test = await loadBeir(folder, dataset.testSplit, { onWarning });
  const trainPath = join(folder, 'qrels', `${dataset.trainSplit}.tsv`);
  const allTrain = await loadQrels(folder, dataset.trainSplit, { documents: test.corpus.index });
  const kept = dataset.leakFree ? leakFree(allTrain, test.qrels) : allTrain;
  const trainQueries = judgedQueries(await loadQueries(folder), kept, trainPath, onWarning);
  const trainQrels: Qrels = new Map([...kept].filter(([query]) => trainQueries.has(query)));
  const qrels: Qrels = new Map([...test.qrels].filter(([query]) => test.queries.has(query)));

  const { pool: poolDepth } = config.evaluation.embedding;
  const depth = {
    train: config.training.negativeRanks[1],
    // Deep enough for the recall that is printed of BM25 itself.
    test: Math.max(100, config.evaluation.reranking.top, poolDepth === 'all' ? 0 : poolDepth),
  };
  const hash = datasetHash(dataset, folder);
  const cacheName = `bm25-${hashOf({ hash, depth, leakFree: dataset.leakFree }).slice(0, 16)}.json`;
  const ranked = rankings(
    test,
    trainQueries,
    depth,
    cacheFolder === null ? null : join(cacheFolder, cacheName),
  );
  const testRun: Run = new Map(
    Object.entries(ranked.test).map(([query, found]) => [
      query,
      found.map(([id, score]) => ({ id, score })),
    ]),
  );
  const baseline = evaluate(qrels, testRun, { metrics: config.evaluation.metrics, complete: true });
  return {
    name: dataset.name,
    test: { ...test, qrels },
    trainQueries,
    trainQrels,
    trainCandidates: new Map(Object.entries(ranked.train)),
    testRun,
    pool: poolOf(test, qrels, testRun, poolDepth),
    groups: groupsOf(qrels, trainQrels),
    bm25: { metrics: baseline.metrics, perQuery: Object.fromEntries(baseline.perQuery) },
    hash,
    warnings,
  };
}

function poolOf(split: BeirSplit, qrels: Qrels, run: Run, depth: number | 'all'): number[] {
  if (depth === 'all') return split.corpus.ids.map((_, i) => i);
  const chosen = new Set<string>();
  for (const [query, grades] of qrels) {
    for (const id of positives(grades)) chosen.add(id);
    for (const { id } of (run.get(query) ?? []).slice(0, depth)) chosen.add(id);
  }
  return split.corpus.ids.flatMap((id, i) => (chosen.has(id) ? [i] : []));
}

/** The head of BM25's ranking, which the reranking endpoint orders anew; empty where BM25 finds nothing. */
export function candidates(data: PreparedDataset, query: string, top: number): string[] {
  return (data.testRun.get(query) ?? []).slice(0, top).map(({ id }) => id);
}

/** Words of the report for what each endpoint ranks. */
export function endpointSetup(
  config: StudyConfig,
  data: PreparedDataset,
): Record<Endpoint, { primaryMetric: string; pool: string; poolSize: number; maxLength: number }> {
  const { embedding, reranking, metrics } = config.evaluation;
  const primaryMetric = (metrics[0] ?? 'ndcg@10').toLowerCase();
  return {
    embedding: {
      primaryMetric,
      pool:
        embedding.pool === 'all'
          ? 'the whole corpus'
          : `gold documents and BM25's ${embedding.pool} best of every test query`,
      poolSize: data.pool.length,
      maxLength: embedding.maxLength,
    },
    reranking: {
      primaryMetric,
      pool: `BM25's ${reranking.top} best of each query`,
      poolSize: reranking.top,
      maxLength: reranking.maxLength,
    },
  };
}
