import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { readSafetensors, writeSafetensors } from '@unimoer/core';
import { expect } from 'vitest';

/** Files of a small BEIR folder; values of other names replace or add files. */
export function writeBeir(folder: string, files: Record<string, string | Uint8Array> = {}): string {
  const all: Record<string, string | Uint8Array> = {
    'corpus.jsonl': jsonl(
      { _id: 'd1', title: 'Red fox', text: 'The fox jumps over the dog.' },
      { _id: 'd2', title: '', text: 'A whale swims in the blue sea.' },
      { _id: 'd3', title: 'Hens', text: 'Red hens and a red rooster.' },
      { _id: 'd4', title: '', text: '' },
    ),
    'queries.jsonl': jsonl(
      { _id: 'q1', text: 'red fox' },
      { _id: 'q2', text: 'whales of the sea' },
    ),
    'qrels/test.tsv': 'query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td3\t1\nq2\td2\t1\n',
    ...files,
  };
  return writeFiles(folder, all);
}

export function writeFiles(folder: string, files: Record<string, string | Uint8Array>): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

export function jsonl(...records: unknown[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join('');
}

/** The repository's root. */
export const root = resolve(import.meta.dirname, '../../../..');

export const fixture = (...parts: string[]): string => join(root, 'fixtures', ...parts);

/** Metadata entry of an oracle file, which holds JSON. */
export function oracle<T>(model: string, name: string): T {
  const file = readSafetensors(fixture(model, 'oracle.safetensors'));
  return JSON.parse(file.metadata[name]!) as T;
}

/** A copy of a fixture's model folder with files added or replaced; objects are written as JSON. */
export function modelVariant(
  folder: string,
  source: string,
  files: Record<string, unknown> = {},
): string {
  cpSync(fixture(source), folder, { recursive: true });
  const text = (value: unknown) =>
    typeof value === 'string' || value instanceof Uint8Array ? value : JSON.stringify(value);
  return writeFiles(
    folder,
    Object.fromEntries(Object.entries(files).map(([name, value]) => [name, text(value)])),
  );
}

/** Files that make a folder a sentence-transformers one. */
export function sentenceFiles(options: {
  prompts?: Record<string, string>;
  defaultPrompt?: string;
  maxLength?: number;
  normalize?: boolean;
}): Record<string, unknown> {
  const { prompts = {}, maxLength = 24, normalize = true } = options;
  const modules = ['Transformer', 'Pooling', ...(normalize ? ['Normalize'] : [])];
  return {
    'modules.json': modules.map((type, idx) => ({
      idx,
      name: String(idx),
      path: idx === 0 ? '' : `${idx}_${type}`,
      type: `sentence_transformers.models.${type}`,
    })),
    '1_Pooling/config.json': { pooling_mode_mean_tokens: true },
    'config_sentence_transformers.json': {
      prompts,
      ...(options.defaultPrompt ? { default_prompt_name: options.defaultPrompt } : {}),
    },
    'sentence_bert_config.json': { max_seq_length: maxLength },
  };
}

/** Rewrites one tensor of a model folder. */
export function changeTensor(
  folder: string,
  name: string,
  change: (values: Float32Array) => void,
): void {
  const path = join(folder, 'model.safetensors');
  const file = readSafetensors(path);
  const entries = Object.fromEntries(
    file.names().map((tensor) => {
      const data = file.read(tensor);
      if (tensor === name) change(data);
      return [tensor, { shape: [...file.info(tensor).shape], data, dtype: 'F32' as const }];
    }),
  );
  file.close();
  writeSafetensors(path, entries);
}

/** A float32 NumPy file. */
export function readNpy(path: string): { shape: number[]; rows: number[][] } {
  const bytes = readFileSync(path);
  expect(bytes.subarray(0, 8)).toEqual(Buffer.from('\x93NUMPY\x01\x00', 'latin1'));
  const start = 10 + bytes.readUInt16LE(8);
  const header = bytes.toString('latin1', 10, start);
  expect(header).toMatch(
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(\d+, \d+\), \} *\n$/,
  );
  expect(start % 64).toBe(0);
  const [n, dim] = /\((\d+), (\d+)\)/.exec(header)!.slice(1).map(Number) as [number, number];
  expect(bytes.length).toBe(start + 4 * n * dim);
  const rows = Array.from({ length: n }, (_, i) =>
    Array.from({ length: dim }, (_, j) => bytes.readFloatLE(start + 4 * (i * dim + j))),
  );
  return { shape: [n, dim], rows };
}

/** The LoRA of the tiny BERT's oracle, as PEFT writes it. */
export function peftFolder(folder: string): string {
  const file = readSafetensors(fixture('tiny-bert', 'oracle.safetensors'));
  const names = file.names().filter((name) => name.startsWith('lora.'));
  const rank = JSON.parse(file.metadata.rank!) as number;
  const entries = Object.fromEntries(
    names.map((name) => [
      name.replace(/^lora\./, 'base_model.model.'),
      { shape: [...file.info(name).shape], data: file.read(name), dtype: 'F32' as const },
    ]),
  );
  const config = {
    peft_type: 'LORA',
    r: rank,
    lora_alpha: JSON.parse(file.metadata.alpha!),
    target_modules: [...new Set(names.map((name) => name.split('.').at(-3)))],
  };
  file.close();
  writeFiles(folder, { 'adapter_config.json': JSON.stringify(config) });
  writeSafetensors(join(folder, 'adapter_model.safetensors'), entries);
  return folder;
}
