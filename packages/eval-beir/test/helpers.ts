import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { InputError } from '@unimoer/eval-beir';
import { afterAll } from 'vitest';

/** The repository's root. */
export const root = fileURLToPath(new URL('../../..', import.meta.url));

const folders: string[] = [];

afterAll(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
});

export function fixture<T>(name: string): T {
  return JSON.parse(readFileSync(join(root, 'fixtures', name), 'utf8')) as T;
}

/** A new temporary folder with the given files; returns its path. */
export function folder(files: Record<string, string | Uint8Array> = {}): string {
  const path = mkdtempSync(join(tmpdir(), 'eval-beir-'));
  folders.push(path);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content);
  return path;
}

/** Collects batches of an async generator. */
export async function collect<T>(batches: AsyncIterable<T[]>): Promise<T[]> {
  const all: T[] = [];
  for await (const batch of batches) all.push(...batch);
  return all;
}

/** The error that an operation ends with. */
export async function failure(operation: Promise<unknown>): Promise<InputError> {
  try {
    await operation;
  } catch (error) {
    return error as InputError;
  }
  throw new Error('the operation succeeded');
}
