import type { Corpus, Queries } from './beir/folder.js';
import type { PairScorer, TextPair } from './encoder.js';
import { InputError } from './errors.js';
import { type Run, trecOrder } from './trec/order.js';

/** How {@link rerank} works through a run. */
export interface RerankOptions {
  /** Candidates taken from the head of each query's ranking; what lies below is dropped. */
  top: number;
  /** Pairs a call of the scorer. Default 64. */
  batchSize?: number;
  /** Called after each batch with the number of pairs done. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * Scores the first `top` documents (in trec_eval's order) of every query of `run` that has a text, and orders them by
 * their new score. Queries without a text are left out.
 * Throws {@link InputError} for a document outside the corpus and for a score that is not finite.
 */
export async function rerank(
  run: Run,
  texts: { queries: Queries; corpus: Corpus },
  scorer: PairScorer,
  options: RerankOptions,
): Promise<Run> {
  const jobs: TextPair[] = [];
  for (const [query, documents] of run) {
    const queryText = texts.queries.get(query);
    if (queryText === undefined) continue;
    for (const { id } of trecOrder(documents).slice(0, options.top)) {
      const position = texts.corpus.index.get(id);
      if (position === undefined) throw unknownDocument(query, id);
      jobs.push({
        query: queryText,
        document: texts.corpus.texts[position]!,
        queryId: query,
        documentId: id,
      });
    }
  }
  const result: Run = new Map();
  const batchSize = options.batchSize ?? 64;
  for (let start = 0; start < jobs.length; start += batchSize) {
    const batch = jobs.slice(start, start + batchSize);
    const scores = await scorer.score(batch);
    batch.forEach(({ queryId: query, documentId: document }, i) => {
      const score = scores[i] ?? Number.NaN;
      if (!Number.isFinite(score)) throw notFinite(query, document, score);
      const ranking = result.get(query);
      if (ranking === undefined) result.set(query, [{ id: document, score }]);
      else ranking.push({ id: document, score });
    });
    options.onProgress?.(start + batch.length, jobs.length);
  }
  for (const [query, documents] of result) result.set(query, trecOrder(documents));
  return result;
}

/** A copy of a run without the documents whose id equals the query's, each ranking cut to `top`. */
export function dropIdenticalIds(run: Run, top = Number.POSITIVE_INFINITY): Run {
  return new Map(
    [...run].map(([query, documents]) => [
      query,
      trecOrder(documents.filter(({ id }) => id !== query)).slice(0, top),
    ]),
  );
}

function unknownDocument(query: string, document: string): InputError {
  return new InputError({
    where: `query ${JSON.stringify(query)}`,
    got: `unknown document ${JSON.stringify(document)}`,
    expected: 'documents of the corpus only',
    remedy: 'use the corpus that the run was made for',
  });
}

function notFinite(query: string, document: string, score: number): InputError {
  return new InputError({
    where: `query ${JSON.stringify(query)}, document ${JSON.stringify(document)}`,
    got: `score ${score}`,
    expected: 'a finite score',
    remedy: 'check the model and its weights',
  });
}
