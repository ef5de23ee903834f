import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli } from '../support.js';
import { fixture, jsonl, peftFolder, readNpy, sentenceFiles } from './data.js';
import {
  bert,
  encode,
  expected,
  expectRows,
  folder,
  model,
  place,
  texts,
  unit,
} from './encode-support.js';

describe('rule 18: normalisation and dtype', () => {
  it('rule 18: unit vectors whatever the folder holds, with a warning; --no-normalize keeps the state', async () => {
    const plain = model(
      sentenceFiles({ normalize: false, prompts: expected.prompts, maxLength: expected.maxLength }),
    );
    const given = await encode(['--task', 'query'], {}, plain);
    expect(given.stderr).toMatch(/warning: .*Normalize/);
    expectRows(given.vectors!.rows, expected.withPrompt.map(unit), 1e-5);
    const raw = await encode(['--task', 'query', '--no-normalize'], {}, plain);
    expectRows(raw.vectors!.rows, expected.withPrompt, 1e-5);
  });

  it('rule 18: --dtype bf16 is near f32, output stays float32', async () => {
    const full = await encode();
    const half = await encode(['--dtype', 'bf16']);
    expectRows(half.vectors!.rows, full.vectors!.rows, 2e-2);
    expect(half.vectors!.rows).not.toEqual(full.vectors!.rows);
    expect((await encode(['--dtype', 'f16'])).code).toBe(2);
  });

  it('--weights int8 and int4 are near f32, others are refused', async () => {
    const full = await encode();
    for (const [weights, tolerance] of [
      ['int8', 2e-2],
      ['int4', 2e-1],
    ] as const) {
      const small = await encode(['--weights', weights]);
      expectRows(small.vectors!.rows, full.vectors!.rows, tolerance);
      expect(small.vectors!.rows).not.toEqual(full.vectors!.rows);
    }
    expect((await encode(['--weights', 'int2'])).code).toBe(2);
  });
});

it('rule 20: --max-length, else max_seq_length, else the smaller of model_max_length and positions', async () => {
  const short = model(sentenceFiles({ maxLength: 8 }));
  const cut = await encode([], {}, short);
  expect(cut.stderr).toMatch(/warning: \d texts? longer than the limit and cut/);
  const option = await encode(['--max-length', '8']);
  expect(cut.vectors!.rows).toEqual(option.vectors!.rows);
  const longer = await encode(['--max-length', '64'], {}, short);
  expect(longer.vectors!.rows).toEqual((await encode()).vectors!.rows);
});

it('rule 21: prompts by task; without --task the default prompt, else none', async () => {
  const prompts = { query: 'find: ', passage: 'text: ', other: 'the ' };
  const withDefault = model(sentenceFiles({ prompts, defaultPrompt: 'other', maxLength: 64 }));
  const without = model(sentenceFiles({ prompts, maxLength: 64 }));
  const bare = model(sentenceFiles({ maxLength: 64 }));
  const prefixed = (prefix: string) => ({
    'texts.jsonl': jsonl(...texts.map((text, i) => ({ _id: `t${i}`, text: prefix + text }))),
  });
  const rows = async (...args: Parameters<typeof encode>) => (await encode(...args)).vectors!.rows;
  expect(await rows(['--task', 'query'], {}, without)).toEqual(
    await rows([], prefixed('find: '), bare),
  );
  expect(await rows(['--task', 'document'], {}, without)).toEqual(
    await rows([], prefixed('text: '), bare),
  );
  expect(await rows([], {}, without)).toEqual(await rows([], {}, bare));
  expect(await rows([], {}, withDefault)).toEqual(await rows([], prefixed('the '), bare));
});

describe('rule 24: adapters', () => {
  it('rule 24: a PEFT folder changes the vectors; one that does not fit is exit 2', async () => {
    const adapter = peftFolder(join(folder, 'peft'));
    const plain = await encode();
    const adapted = await encode(['--adapter', adapter]);
    expect(adapted.code).toBe(0);
    expect(adapted.vectors!.rows).not.toEqual(plain.vectors!.rows);
    const { code, stderr } = await encode(['--adapter', adapter], {}, fixture('tiny-qwen3'));
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^error: .*adapter_model/)]);
  });

  it('rule 24: a folder without adapter is exit 2', async () => {
    expect((await encode(['--adapter', '.'])).code).toBe(2);
    expect((await encode(['--adapter', 'none'])).code).toBe(2);
  });
});

it('rule 32: a BERT folder without modules.json is mean-pooled and normalised', async () => {
  const pooled = await encode(['--pooling', 'mean']);
  const plain = await encode();
  expect(plain.vectors!.rows).toEqual(pooled.vectors!.rows);
  expect(Math.hypot(...plain.vectors!.rows[0]!)).toBeCloseTo(1, 6);
  expect((await encode(['--pooling', 'cls'])).vectors!.rows).not.toEqual(plain.vectors!.rows);
});

it('rule 1: an absent device is exit 1, a misspelt one exit 2, a missing model exit 2', async () => {
  expect((await encode(['--device', 'cuda:0'])).code).toBe(1);
  expect((await encode(['--device', 'gpu'])).code).toBe(2);
  expect((await encode([], {}, './none')).code).toBe(2);
  const cwd = place();
  writeFileSync(join(cwd, 'empty.jsonl'), '');
  const empty = await cli(['encode', '--model', bert, '--in', 'empty.jsonl', '--out', 'e.npy'], {
    cwd,
  });
  expect(empty).toMatchObject({ code: 0, stderr: expect.stringContaining('no texts') });
  expect(readNpy(join(cwd, 'e.npy')).shape).toEqual([0, 64]);
});
