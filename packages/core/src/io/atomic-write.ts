import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { FileError } from '../errors';

/**
 * Writes a file so that it is there whole or not at all: into `.NAME.tmp-PID` beside it, then renamed. Makes
 * missing folders, removes temporary files of dead processes. Throws FileError (disk full, not writable).
 */
export function atomicWrite(path: string, data: string | Uint8Array | Iterable<Uint8Array>): void {
  const folder = dirname(path);
  const name = basename(path);
  const temporary = join(folder, `.${name}.tmp-${process.pid}`);
  try {
    mkdirSync(folder, { recursive: true });
    removeStale(folder, name);
    const file = openSync(temporary, 'w');
    try {
      for (const chunk of chunksOf(data)) writeAll(file, chunk);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    if (existsSync(temporary)) rmSync(temporary, { force: true });
    throw fileError(path, error);
  }
}

function chunksOf(data: string | Uint8Array | Iterable<Uint8Array>): Iterable<Uint8Array> {
  if (typeof data === 'string') return [Buffer.from(data)];
  return data instanceof Uint8Array ? [data] : data;
}

function writeAll(file: number, chunk: Uint8Array): void {
  for (let done = 0; done < chunk.byteLength; ) {
    done += writeSync(file, chunk, done, Math.min(chunk.byteLength - done, 2 ** 28));
  }
}

function removeStale(folder: string, name: string): void {
  const prefix = `.${name}.tmp-`;
  for (const entry of readdirSync(folder)) {
    if (!entry.startsWith(prefix)) continue;
    const pid = Number(entry.slice(prefix.length));
    if (Number.isInteger(pid) && !alive(pid)) rmSync(join(folder, entry), { force: true });
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Turns a system error into one that says what to do. */
export function fileError(path: string, error: unknown): Error {
  if (!(error instanceof Error) || !('code' in error)) {
    return error instanceof Error ? error : new Error(String(error));
  }
  const reasons: Record<string, [got: string, expected: string, remedy: string]> = {
    ENOSPC: ['a full disk', 'room for the file', 'free some space; nothing was overwritten'],
    EDQUOT: ['a used-up quota', 'room for the file', 'free some space; nothing was overwritten'],
    EACCES: ['no permission', 'a place we may use', 'choose another path'],
    EROFS: ['a read-only file system', 'a writable place', 'choose another path'],
    ENOENT: ['no such file', 'an existing file', 'check the path'],
    EISDIR: ['a folder', 'a file', 'choose another path'],
    ENOTDIR: ['a file where a folder should be', 'a folder', 'choose another path'],
  };
  const [got, expected, remedy] = reasons[String(error.code)] ?? [
    error.message,
    'a file that can be used',
    'check the path',
  ];
  return new FileError({ where: path, got, expected, remedy }, { cause: error });
}
