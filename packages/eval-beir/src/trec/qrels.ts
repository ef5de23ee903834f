import { InputError, quote } from '../errors.js';
import { type ByteSource, sourceName } from '../io/source.js';
import { emptyFile, type Row, readRows, requireKnown } from './columns.js';

/** Relevance judgements: for every query the grade of each judged document. */
export type Qrels = Map<string, Map<string, number>>;

/**
 * Reads relevance judgements: TREC's four columns (`qid 0 docid grade`) or BEIR's three with a header line
 * (`query-id corpus-id score`), told apart by content.
 * Throws {@link InputError} with `file:line` for a wrong column count, a grade that is no integer, a document judged
 * twice for a query, a document outside `documents`, invalid UTF-8 and an empty file.
 */
export async function readQrels(
  source: ByteSource,
  options: { documents?: { has(id: string): boolean } } = {},
): Promise<Qrels> {
  const qrels: Qrels = new Map();
  let columnCount = 0;
  for await (const rows of readRows(source, 'qrels')) {
    for (const row of rows) {
      if (columnCount === 0) {
        columnCount = detectColumns(row);
        if (columnCount === 3) continue;
      }
      addJudgement(qrels, row, columnCount, options.documents);
    }
  }
  if (qrels.size === 0) throw emptyFile(sourceName(source), 'qrels');
  return qrels;
}

function detectColumns(first: Row): 3 | 4 {
  const count = first.columns.length;
  if (count === 4) return 4;
  if (count === 3 && !isNumeric(first.columns[2]!)) return 3;
  throw new InputError({
    where: first.where,
    got: count === 3 ? 'three columns without a header line' : `${count} columns`,
    expected: "TREC's four columns (qid 0 docid grade) or BEIR's three with a header line",
    remedy:
      count === 3 ? 'add the line "query-id corpus-id score"' : 'check that the file holds qrels',
  });
}

function isNumeric(text: string): boolean {
  return text.trim() !== '' && !Number.isNaN(Number(text));
}

function addJudgement(
  qrels: Qrels,
  { where, columns }: Row,
  columnCount: number,
  documents: { has(id: string): boolean } | undefined,
): void {
  if (columns.length !== columnCount) {
    throw new InputError({
      where,
      got: `${columns.length} ${columns.length === 1 ? 'column' : 'columns'}`,
      expected: `${columnCount} columns, as the file began`,
      remedy: 'mend or delete the line',
    });
  }
  const query = columns[0]!;
  const document = columns[columnCount - 2]!;
  const gradeText = columns[columnCount - 1]!;
  const grade = /^[+-]?\d+$/.test(gradeText) ? Number(gradeText) : Number.NaN;
  if (!Number.isSafeInteger(grade)) {
    throw new InputError({
      where,
      got: `grade ${quote(gradeText)}`,
      expected: 'an integer as grade',
      remedy: 'mend or delete the line',
    });
  }
  requireKnown(documents, document, where);
  let grades = qrels.get(query);
  if (grades === undefined) {
    grades = new Map();
    qrels.set(query, grades);
  }
  if (grades.has(document)) {
    throw new InputError({
      where,
      got: `document ${quote(document)} a second time for query ${quote(query)}`,
      expected: 'each document once a query',
      remedy: 'delete one of the lines',
    });
  }
  grades.set(document, grade);
}

/** Judgements as text: TREC's four columns, or BEIR's three with the header line. */
export function* formatQrels(qrels: Qrels, format: 'trec' | 'beir' = 'trec'): Generator<string> {
  if (format === 'beir') yield 'query-id\tcorpus-id\tscore\n';
  for (const [query, grades] of qrels) {
    let text = '';
    for (const [document, grade] of grades) {
      text +=
        format === 'beir'
          ? `${query}\t${document}\t${grade}\n`
          : `${query} 0 ${document} ${grade}\n`;
    }
    yield text;
  }
}
