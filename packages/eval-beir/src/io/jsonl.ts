import { InputError, quote } from '../errors.js';
import { readLines } from './lines.js';
import { type ByteSource, sourceName } from './source.js';

/** A text with its identifier: one line of a corpus, of queries or of texts to encode. */
export interface TextRecord {
  id: string;
  /** Empty where the line has none. */
  title: string;
  text: string;
  /** Line number in the file, from 1. */
  line: number;
}

/** How to treat lines that cannot be used, and whom to tell. */
export interface JsonlOptions {
  /**
   * `error` (default) stops at the first bad line; `warn` counts and skips lines that are not JSON or not UTF-8, lack
   * `_id` or `text`, or repeat an `_id`. A malformed `_id` (empty, no string, white space) is always refused.
   */
  onBadLine?: 'error' | 'warn';
  /** Receives one line of text for every kind of warning, after the file has been read. */
  onWarning?: (message: string) => void;
}

/** Text that is encoded or indexed for a document, as BEIR does it: title, a space, text, trimmed. */
export function documentText(record: { title?: string; text: string }): string {
  return `${record.title ?? ''} ${record.text}`.trim();
}

/**
 * Reads `{"_id", "text"[, "title"]}` lines, in batches. Blank lines, CRLF and a byte order mark are accepted.
 * Throws {@link InputError} with `file:line` for a line that cannot be used.
 */
export async function* readTexts(
  source: ByteSource,
  options: JsonlOptions = {},
): AsyncGenerator<TextRecord[]> {
  const name = sourceName(source);
  const seen = new Set<string>();
  let skipped = 0;
  let first: InputError | undefined;
  for await (const lines of readLines(source)) {
    const records: TextRecord[] = [];
    for (const { number, text } of lines) {
      if (text !== null && text.trim() === '') continue;
      try {
        const record = parseRecord(text, `${name}:${number}`, number);
        if (seen.has(record.id)) throw duplicate(`${name}:${number}`, record.id);
        seen.add(record.id);
        records.push(record);
      } catch (error) {
        const skip = options.onBadLine === 'warn' && error instanceof BadLine;
        if (!skip) throw error;
        skipped += 1;
        first ??= error;
      }
    }
    if (records.length > 0) yield records;
  }
  if (first !== undefined) {
    options.onWarning?.(
      `${name}: ${skipped} bad ${skipped === 1 ? 'line' : 'lines'} skipped; the first: ${first.message}`,
    );
  }
}

/** A bad line that `onBadLine: 'warn'` may skip. */
class BadLine extends InputError {}

function parseRecord(text: string | null, where: string, line: number): TextRecord {
  if (text === null) {
    throw new BadLine({
      where,
      got: 'bytes that are not UTF-8',
      expected: 'UTF-8 text',
      remedy: 'convert the file to UTF-8',
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new BadLine({
      where,
      got: `text that is not JSON, ${quote(text)}`,
      expected: 'one JSON object a line',
      remedy: 'mend or delete the line',
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BadLine({
      where,
      got: quote(text),
      expected: 'a JSON object with _id and text',
      remedy: 'mend or delete the line',
    });
  }
  const record = value as Record<string, unknown>;
  const title = record.title ?? '';
  const id = checkId(record._id, where);
  return {
    id,
    title: stringField(title, 'title', where),
    text: stringField(record.text, 'text', where),
    line,
  };
}

function checkId(id: unknown, where: string): string {
  const remedy = 'give every line an _id of its own';
  const expected = 'a string without white space as _id';
  if (id === undefined) throw new BadLine({ where, got: 'no _id', expected, remedy });
  if (typeof id !== 'string') {
    throw new InputError({
      where,
      got: `_id ${quote(String(id))} of type ${typeName(id)}`,
      expected,
      remedy,
    });
  }
  if (id === '') throw new InputError({ where, got: 'an empty _id', expected, remedy });
  if (/\s/u.test(id)) {
    throw new InputError({ where, got: `_id ${quote(id)} with white space`, expected, remedy });
  }
  if (/\p{Surrogate}/u.test(id)) {
    throw new InputError({
      where,
      got: `_id ${quote(id)} with half a surrogate pair`,
      expected,
      remedy,
    });
  }
  return id;
}

function stringField(value: unknown, field: string, where: string): string {
  if (typeof value === 'string') return value;
  throw new BadLine({
    where,
    got: value === undefined ? `no ${field}` : `${field} of type ${typeName(value)}`,
    expected: `a string as ${field}`,
    remedy: 'mend or delete the line',
  });
}

function typeName(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
}

function duplicate(where: string, id: string): BadLine {
  return new BadLine({
    where,
    got: `_id ${quote(id)} a second time`,
    expected: 'each _id once',
    remedy: 'delete or rename one of them',
  });
}
