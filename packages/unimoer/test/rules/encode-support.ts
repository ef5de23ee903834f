// What the tests of encode share: runs of the command in folders of their own, and oracles.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { cli, temporaryFolder } from '../support.js';
import { fixture, jsonl, modelVariant, oracle, readNpy, writeFiles } from './data.js';

export const folder = temporaryFolder();
export const texts = oracle<string[]>('tiny-bert', 'texts');
export const lines = jsonl(...texts.map((text, i) => ({ _id: `t${i}`, text })));
export const bert = fixture('tiny-bert');
let counter = 0;

export function place(files: Record<string, string | Uint8Array> = {}): string {
  counter += 1;
  return writeFiles(join(folder, String(counter)), { 'texts.jsonl': lines, ...files });
}

/** Encodes texts.jsonl in a folder of its own. */
export async function encode(
  args: string[] = [],
  files: Record<string, string | Uint8Array> = {},
  model = bert,
) {
  const cwd = place(files);
  const result = await cli(
    ['encode', '--model', model, '--in', 'texts.jsonl', '--out', 'v.npy', ...args],
    { cwd },
  );
  const path = join(cwd, 'v.npy');
  return { ...result, cwd, vectors: existsSync(path) ? readNpy(path) : null };
}

export function model(files: Record<string, unknown>, source = 'tiny-bert'): string {
  counter += 1;
  return modelVariant(join(folder, `model-${counter}`), source, files);
}

export function expectRows(
  got: readonly number[][],
  wanted: readonly number[][],
  tolerance: number,
): void {
  expect(got.length).toBe(wanted.length);
  got.forEach((row, i) => {
    row.forEach((value, j) => {
      expect(Math.abs(value - wanted[i]![j]!)).toBeLessThan(tolerance);
    });
  });
}

export const unit = (row: readonly number[]) => row.map((x) => x / Math.hypot(...row));
export const expected = oracle<{
  prompts: Record<string, string>;
  maxLength: number;
  withPrompt: number[][];
}>('tiny-bert', 'embedder');
