import { isUtf8 } from 'node:buffer';
import { InputError } from '../errors.js';
import { type ByteSource, readBytes, sourceName } from './source.js';

/** Longest line that is accepted, in bytes. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024;

/** One line without its end; `text` is null where the bytes are not valid UTF-8. Numbers start at 1. */
export interface Line {
  number: number;
  text: string | null;
}

const LF = 0x0a;
const CR = 0x0d;

/**
 * Lines of a source in batches (one batch a chunk), ended by LF or CRLF. A byte order mark at the start is dropped.
 * Throws {@link InputError} for a line over 64 MiB and for what {@link readBytes} refuses.
 */
export async function* readLines(source: ByteSource): AsyncGenerator<Line[]> {
  const name = sourceName(source);
  let number = 0;
  let pending: Buffer[] = [];
  let pendingBytes = 0;

  const finish = (tail: Buffer): Line => {
    let bytes = pendingBytes === 0 ? tail : Buffer.concat([...pending, tail]);
    pending = [];
    pendingBytes = 0;
    number += 1;
    if (bytes.length > 0 && bytes[bytes.length - 1] === CR) bytes = bytes.subarray(0, -1);
    if (number === 1 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
      bytes = bytes.subarray(3);
    }
    return { number, text: isUtf8(bytes) ? bytes.toString('utf8') : null };
  };
  const refuseLong = (length: number): void => {
    if (length <= MAX_LINE_BYTES) return;
    throw new InputError({
      where: `${name}:${number + 1}`,
      got: 'a line of more than 64 MiB',
      expected: 'at most 64 MiB a line',
      remedy: 'check that the file has one record a line',
    });
  };

  for await (const chunk of readBytes(source)) {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, start)) {
      refuseLong(pendingBytes + end - start);
      lines.push(finish(chunk.subarray(start, end)));
      start = end + 1;
    }
    if (start < chunk.length) {
      const rest = chunk.subarray(start);
      pending.push(rest);
      pendingBytes += rest.length;
      refuseLong(pendingBytes);
    }
    if (lines.length > 0) yield lines;
  }
  if (pendingBytes > 0) yield [finish(Buffer.alloc(0))];
}
