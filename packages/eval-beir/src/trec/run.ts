import { InputError, quote } from '../errors.js';
import { type ByteSource, sourceName } from '../io/source.js';
import { readRows, requireKnown } from './columns.js';
import { type Run, type ScoredDocument, trecOrder } from './order.js';

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

/**
 * Reads a TREC run (`qid Q0 docid rank score tag`); the rank column is ignored and file order is kept.
 * Throws {@link InputError} with `file:line` for a wrong column count, a score that is no finite decimal number, a
 * document that a query lists twice, a document outside `documents`, invalid UTF-8 and an empty file.
 */
export async function readRun(
  source: ByteSource,
  options: { documents?: { has(id: string): boolean } } = {},
): Promise<Run> {
  const run: Run = new Map();
  const seen = new Map<string, Set<string>>();
  for await (const rows of readRows(source, 'TREC run')) {
    for (const { where, columns } of rows) {
      if (columns.length !== 6) {
        throw new InputError({
          where,
          got: `${columns.length} ${columns.length === 1 ? 'column' : 'columns'}`,
          expected: 'the six columns of a TREC run: qid Q0 docid rank score tag',
          remedy: `check that ${sourceName(source)} is a run`,
        });
      }
      const [query, , document, , scoreText] = columns as [string, string, string, string, string];
      const score = parseScore(scoreText, where);
      requireKnown(options.documents, document, where);
      let documents = run.get(query);
      let ids = seen.get(query);
      if (documents === undefined || ids === undefined) {
        documents = [];
        ids = new Set();
        run.set(query, documents);
        seen.set(query, ids);
      }
      if (ids.has(document)) {
        throw new InputError({
          where,
          got: `document ${quote(document)} a second time for query ${quote(query)}`,
          expected: 'each document once a query',
          remedy: 'delete one of the lines',
        });
      }
      ids.add(document);
      documents.push({ id: document, score });
    }
  }
  return run;
}

function parseScore(text: string, where: string): number {
  const score = DECIMAL.test(text) ? Number(text) : Number.NaN;
  if (Number.isFinite(score)) return score;
  throw new InputError({
    where,
    got: `score ${quote(text)}`,
    expected: 'a finite decimal number as score',
    remedy: 'mend what wrote the run',
  });
}

/** Decimal text of a score from which the same float32 is read back, in at most nine digits. */
export function formatScore(score: number): string {
  const value = Math.fround(score);
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

/**
 * A run as TREC lines, queries in the order of the map, documents in trec_eval's order, ranks from 1.
 * Throws a RangeError where a score is not finite.
 */
export function* formatRun(run: Run, tag: string): Generator<string> {
  for (const [query, documents] of run) yield formatQuery(query, documents, tag);
}

function formatQuery(query: string, documents: readonly ScoredDocument[], tag: string): string {
  let text = '';
  let rank = 0;
  for (const { id, score } of trecOrder(documents)) {
    if (!Number.isFinite(Math.fround(score))) {
      throw new RangeError(
        `query ${query}, document ${id}: score ${score} is not a finite float32`,
      );
    }
    rank += 1;
    text += `${query} Q0 ${id} ${rank} ${formatScore(score)} ${tag}\n`;
  }
  return text;
}
