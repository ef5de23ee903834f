import { InputError } from '../errors.js';
import { readLines } from '../io/lines.js';
import { type ByteSource, sourceName } from '../io/source.js';

/** A line of a TREC file, split into its columns. */
export interface Row {
  where: string;
  line: number;
  columns: string[];
}

/** Splits a TREC file at ASCII spaces and tabs. Blank lines are left out; invalid UTF-8 and empty files are refused. */
export async function* readRows(source: ByteSource, what: string): AsyncGenerator<Row[]> {
  const name = sourceName(source);
  let empty = true;
  for await (const lines of readLines(source)) {
    const rows: Row[] = [];
    for (const { number, text } of lines) {
      const where = `${name}:${number}`;
      if (text === null) {
        throw new InputError({
          where,
          got: 'bytes that are not UTF-8',
          expected: 'UTF-8 text',
          remedy: 'convert the file to UTF-8',
        });
      }
      const columns = text.split(/[ \t]+/).filter((column) => column !== '');
      if (columns.length > 0) rows.push({ where, line: number, columns });
    }
    if (rows.length > 0) {
      empty = false;
      yield rows;
    }
  }
  if (empty) throw emptyFile(name, what);
}

/** The error for a file without any entry. */
export function emptyFile(name: string, what: string): InputError {
  return new InputError({
    where: name,
    got: 'an empty file',
    expected: `a ${what} file with at least one line`,
    remedy: 'check the path and how the file was made',
  });
}

/** Throws unless a name is known; used to refuse qrels and runs that name documents outside the corpus. */
export function requireKnown(
  known: { has(id: string): boolean } | undefined,
  id: string,
  where: string,
): void {
  if (known === undefined || known.has(id)) return;
  throw new InputError({
    where,
    got: `unknown document ${JSON.stringify(id)}`,
    expected: 'documents of the corpus only',
    remedy: 'use the corpus that this file was made for',
  });
}
