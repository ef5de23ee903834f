import { createReadStream, statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { InputError } from '../errors.js';

/** A named stream of bytes, for input that is no file (standard input). `name` stands in error messages. */
export interface NamedStream {
  name: string;
  stream: Readable;
}

/** A path (a name ending in `.gz` is unpacked) or a named stream. */
export type ByteSource = string | NamedStream;

/** The name of a source for messages. */
export function sourceName(source: ByteSource): string {
  return typeof source === 'string' ? source : source.name;
}

/**
 * The bytes of a source, chunk by chunk; `.gz` files are unpacked, all members of them.
 * Throws {@link InputError} when the file is missing, not readable, truncated, has a wrong checksum or trailing bytes.
 */
export async function* readBytes(source: ByteSource): AsyncGenerator<Buffer> {
  if (typeof source !== 'string') {
    for await (const chunk of source.stream) {
      yield typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Buffer);
    }
    return;
  }
  requireFile(source);
  if (source.toLowerCase().endsWith('.gz')) {
    yield* unpack(source);
    return;
  }
  try {
    for await (const chunk of createReadStream(source, { highWaterMark: 1 << 18 })) yield chunk;
  } catch (error) {
    throw unreadable(source, error);
  }
}

/** Throws {@link InputError} unless `path` names an existing regular file (or a pipe). */
export function requireFile(path: string): void {
  let isDirectory: boolean;
  try {
    isDirectory = statSync(path).isDirectory();
  } catch (error) {
    throw unreadable(path, error);
  }
  if (isDirectory) {
    throw new InputError({
      where: path,
      got: 'a folder',
      expected: 'a file',
      remedy: 'name the file inside it',
    });
  }
}

async function* unpack(path: string): AsyncGenerator<Buffer> {
  let fed = 0;
  let isGzip = false;
  const gunzip = createGunzip({ chunkSize: 1 << 18 });
  const file = createReadStream(path, { highWaterMark: 1 << 18 });
  file.on('data', (chunk) => {
    if (fed === 0) isGzip = chunk[0] === 0x1f && chunk[1] === 0x8b;
    fed += chunk.length;
  });
  file.on('error', (error) => gunzip.destroy(error));
  file.pipe(gunzip);
  try {
    for await (const chunk of gunzip) yield chunk as Buffer;
  } catch (error) {
    throw gzipError(path, error, isGzip);
  } finally {
    file.destroy();
  }
  // zlib stops silently at zero padding after a member: what it did not consume is trailing bytes.
  const size = statSync(path).size;
  if (gunzip.bytesWritten < Math.max(fed, size)) throw trailing(path);
}

function gzipError(path: string, error: unknown, isGzip: boolean): unknown {
  if (!(error instanceof Error) || error instanceof InputError) return error;
  const message = error.message;
  if (/incorrect header check/.test(message)) {
    return isGzip
      ? trailing(path)
      : gzipFault(path, 'bytes that are not gzip', 'unpack the file or drop the .gz ending');
  }
  if (/unexpected end of file/.test(message)) {
    return gzipFault(path, 'a truncated gzip file', 'fetch or write the file again');
  }
  if (/incorrect (data|length) check/.test(message)) {
    return gzipFault(path, 'a wrong gzip checksum', 'fetch or write the file again');
  }
  if ('code' in error && String(error.code).startsWith('Z_')) {
    return gzipFault(path, `broken gzip data (${message})`, 'fetch or write the file again');
  }
  return unreadable(path, error);
}

function trailing(path: string): InputError {
  return gzipFault(path, 'bytes after the last gzip member', 'fetch or write the file again');
}

function gzipFault(path: string, got: string, remedy: string): InputError {
  return new InputError({
    where: path,
    got,
    expected: 'one or more complete gzip members',
    remedy,
  });
}

/** Turns a failure of the file system to open or read `path` into an {@link InputError} where the user can mend it. */
function unreadable(path: string, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const got = (
    {
      ENOENT: 'no such file',
      ENOTDIR: 'no such file',
      EISDIR: 'a folder',
      EACCES: 'a file without read permission',
      EPERM: 'a file without read permission',
    } as Record<string, string>
  )[code];
  if (got === undefined) return error;
  return new InputError({
    where: path,
    got,
    expected: 'a readable file',
    remedy: 'check the path',
  });
}
