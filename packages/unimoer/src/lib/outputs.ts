import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { OutputError } from './errors.js';

/** True while a process with this id exists. */
export function processAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Removes what earlier, dead processes left beside `path`. */
function removeStale(path: string): void {
  const prefixes = [`.${basename(path)}.tmp-`, `.${basename(path)}.old-`];
  for (const name of readdirSync(dirname(path))) {
    const prefix = prefixes.find((p) => name.startsWith(p));
    if (!prefix) continue;
    const pid = Number(name.slice(prefix.length));
    if (!Number.isInteger(pid) || pid === process.pid || !processAlive(pid)) {
      rmSync(join(dirname(path), name), { force: true });
    }
  }
}

interface Output {
  path: string;
  temporary: string;
  backup: string;
}

/**
 * Files that appear together or not at all. Each is written under `.NAME.tmp-PID` in its final
 * folder; `commit` renames all of them and, if one rename fails, puts back what was there before.
 */
export class OutputSet {
  private readonly outputs: Output[] = [];

  /** Reserves a final path, making its folder; returns the temporary path to write to. */
  add(path: string): string {
    const folder = dirname(path);
    const temporary = join(folder, `.${basename(path)}.tmp-${process.pid}`);
    try {
      mkdirSync(folder, { recursive: true });
      if (existsSync(path) && statSync(path).isDirectory()) throw new Error('it is a folder');
      removeStale(path);
      closeSync(openSync(temporary, 'w'));
    } catch (error) {
      throw new OutputError(path, error);
    }
    this.outputs.push({
      path,
      temporary,
      backup: join(folder, `.${basename(path)}.old-${process.pid}`),
    });
    return temporary;
  }

  /** Adds a file with its whole content. */
  write(path: string, data: string | Uint8Array): void {
    const temporary = this.add(path);
    try {
      const file = openSync(temporary, 'w');
      try {
        const bytes = typeof data === 'string' ? Buffer.from(data) : data;
        for (let at = 0; at < bytes.byteLength; ) at += writeSync(file, bytes, at);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
    } catch (error) {
      throw new OutputError(path, error);
    }
  }

  /** Gives every file its final name. */
  commit(): void {
    const renamed: Output[] = [];
    try {
      for (const output of this.outputs) {
        if (existsSync(output.path)) linkSync(output.path, output.backup);
        renameSync(output.temporary, output.path);
        renamed.push(output);
      }
    } catch (error) {
      for (const output of renamed.reverse()) {
        if (existsSync(output.backup)) renameSync(output.backup, output.path);
        else rmSync(output.path, { force: true });
      }
      this.discard();
      throw new OutputError(this.outputs[renamed.length]?.path ?? '', error);
    }
    for (const output of this.outputs) rmSync(output.backup, { force: true });
    this.outputs.length = 0;
  }

  /** Removes the temporary files; the final names are left as they were. */
  discard(): void {
    for (const output of this.outputs) {
      rmSync(output.temporary, { force: true });
      rmSync(output.backup, { force: true });
    }
    this.outputs.length = 0;
  }
}

/** Runs `fn` with an OutputSet: commits when it returns, discards when it throws. */
export async function withOutputs<T>(fn: (outputs: OutputSet) => T | Promise<T>): Promise<T> {
  const outputs = new OutputSet();
  try {
    const value = await fn(outputs);
    outputs.commit();
    return value;
  } catch (error) {
    outputs.discard();
    throw error;
  }
}

/** Replaces one file atomically. */
export function writeFileAtomic(path: string, data: string | Uint8Array): void {
  const outputs = new OutputSet();
  try {
    outputs.write(path, data);
    outputs.commit();
  } catch (error) {
    outputs.discard();
    throw error;
  }
}
