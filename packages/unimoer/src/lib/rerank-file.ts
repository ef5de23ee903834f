import { judgedQueries, type PairScorer, type Run, readRun, rerank } from '@unimoer/eval-beir';
import type { Model } from '@unimoer/models';
import type { RerankOptions } from '../commands/rerank.js';
import { CountedWarnings } from './counted-warnings.js';
import { readSplit } from './data-options.js';
import type { Io } from './io.js';
import { withModel } from './open-model.js';
import { checkTag, writeRun } from './run-file.js';

/** Pairs scored at a time; long enough for batches of similar length. */
const batchSize = 4096;

/** What was written. */
export interface RerankedFile {
  run: string;
  queries: number;
  pairs: number;
}

/** Scores the head of a run anew and writes the result. */
export async function rerankFile(io: Io, options: RerankOptions): Promise<RerankedFile> {
  checkTag(options.tag);
  const { corpus, queries: all } = await readSplit(io, options);
  const path = io.path(options.run);
  const first = await readRun(path, { documents: corpus.index });
  const queries = judgedQueries(all, first, path, (message) => io.warn(message));
  const out = io.path(options.out);
  const run = await withModel(io, options, (model) =>
    rerankWith(io, model, first, { queries, corpus }, options),
  );
  await writeRun(out, run, options.tag);
  let pairs = 0;
  for (const documents of run.values()) pairs += documents.length;
  return { run: out, queries: run.size, pairs };
}

async function rerankWith(
  io: Io,
  model: Model,
  first: Run,
  texts: Parameters<typeof rerank>[1],
  options: RerankOptions,
): Promise<Run> {
  let total = 0;
  for (const [query, documents] of first) {
    if (texts.queries.has(query)) total += Math.min(options.top, documents.length);
  }
  const progress = io.progress({ label: 'pairs', total });
  const warnings = new CountedWarnings();
  let finished = 0;
  const scorer: PairScorer = {
    async score(pairs) {
      const result = await model.score(
        pairs.map(({ query, document }) => [query, document] as const),
        {
          batchTokens: options.batchTokens,
          raw: options.raw ?? false,
          signal: io.signal,
          names: pairs.map(({ queryId, documentId }) => pairName(queryId, documentId)),
          onProgress: (done) => progress.update(finished + done),
        },
      );
      warnings.add(result.warnings);
      finished += pairs.length;
      return result.scores;
    },
  };
  const run = await rerank(first, texts, scorer, { top: options.top, batchSize });
  progress.finish(`scored ${total} pairs`);
  warnings.print(io, 'pair', 'pairs');
  return run;
}

function pairName(query: string, document: string): string {
  return `query ${JSON.stringify(query)}, document ${JSON.stringify(document)}`;
}
