import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '@unimoer/core';
import { afterAll, describe, expect, it } from 'vitest';
import { loadModel } from '../src/index';
import { fixture, maxDifference, oracle, removeVariants, variant, writeJson } from './fixtures';

afterAll(removeVariants);

interface Embedder {
  prompts: Record<string, string>;
  maxLength: number;
  postProcessor: unknown;
  query: number[][];
  document: number[][];
  inputIds: number[][];
  withPrompt: number[][];
  withoutPrompt: number[][];
}

/** A sentence-transformers folder around a fixture's weights. */
function sentenceFolder(
  source: string,
  pooling: Record<string, unknown>,
  options: { prompts?: Record<string, string>; maxLength?: number; normalize?: boolean } = {},
  changes: Parameters<typeof variant>[1] = {},
): string {
  const folder = variant(fixture(source), {
    'config_sentence_transformers.json': () => ({ prompts: options.prompts ?? {} }),
    'sentence_bert_config.json': () => ({ max_seq_length: options.maxLength ?? null }),
    'modules.json': () => [
      { idx: 0, name: '0', path: '', type: 'sentence_transformers.models.Transformer' },
      { idx: 1, name: '1', path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
      ...(options.normalize === false
        ? []
        : [{ idx: 2, name: '2', path: '2_Normalize', type: 'a.later.package.Normalize' }]),
    ],
    ...changes,
  });
  mkdirSync(join(folder, '1_Pooling'));
  writeJson(join(folder, '1_Pooling/config.json'), pooling);
  return folder;
}

describe('a last-token folder such as Qwen3-Embedding', () => {
  const from = oracle(fixture('tiny-qwen3/oracle.safetensors'));
  const texts = from.meta<string[]>('texts');
  const expected = from.meta<Embedder>('embedder');
  const folder = (changes = {}) =>
    sentenceFolder('tiny-qwen3', { pooling_mode_lasttoken: true }, expected, {
      'tokenizer.json': (old) => ({ ...old, post_processor: expected.postProcessor }),
      ...changes,
    });

  it('embeds queries and documents as sentence-transformers does, end token kept by truncation', async () => {
    const model = loadModel(folder());
    expect(model.warnings).toEqual([]);
    expect(model.maxLength).toBe(32);
    expect(texts.map((text) => model.encodeText(text, 32, 'document').ids)).toEqual(
      expected.inputIds,
    );
    for (const task of ['query', 'document'] as const) {
      const { vectors } = await model.embed(texts, { task });
      expect(maxDifference(vectors, expected[task].flat())).toBeLessThan(1e-5);
    }
    await expect(model.score([['a', 'b']])).rejects.toThrow(/Pooling module/);
    model.dispose();
  });

  it('warns where the post-processor adds no end token', () => {
    const model = loadModel(folder({ 'tokenizer.json': (old: object) => old }));
    expect(model.warnings.join()).toMatch(/adds no end token/);
    model.dispose();
  });

  it('warns where tokenizer_config.json and tokenizer.json disagree, and follows the latter', () => {
    const config = { add_eos_token: false, eos_token: '<|endoftext|>' };
    const model = loadModel(folder({ 'tokenizer_config.json': () => config }));
    expect(model.warnings.join()).toMatch(/add_eos_token is false, but tokenizer.json adds/);
    expect(model.encodeText('no', 32).ids.at(-1)).toBe(0);
    model.dispose();
  });

  it('refuses first-token pooling in a causal decoder', () => {
    const cls = sentenceFolder('tiny-qwen3', { pooling_mode_cls_token: true });
    expect(() => loadModel(cls)).toThrow(/sees only itself/);
  });
});

describe('a mean-pooled BERT folder', () => {
  const from = oracle(fixture('tiny-bert/oracle.safetensors'));
  const texts = from.meta<string[]>('texts');
  const expected = from.meta<Embedder>('embedder');

  it.each([
    [true, 'withPrompt'],
    [false, 'withoutPrompt'],
  ] as const)('honours include_prompt %s', async (include_prompt, key) => {
    const pooling = { pooling_mode: 'mean', include_prompt };
    const folder = sentenceFolder('tiny-bert', pooling, { ...expected, normalize: false });
    const model = loadModel(folder);
    expect(model.warnings.join()).toMatch(/no Normalize module/);
    const { vectors } = await model.embed(texts, { task: 'query', normalize: false });
    expect(maxDifference(vectors, expected[key].flat())).toBeLessThan(1e-5);
    const { vectors: unit } = await model.embed(texts, { task: 'query' });
    const norm = Math.hypot(...unit.subarray(0, model.dim));
    expect(norm).toBeCloseTo(1, 6);
    model.dispose();
  });

  it('takes the first of document, passage, corpus for documents and no prompt without a task', () => {
    const folder = sentenceFolder('tiny-bert', { pooling_mode: 'mean' }, expected);
    const model = loadModel(folder);
    expect([model.promptFor('query'), model.promptFor('document'), model.promptFor()]).toEqual([
      'find: ',
      'text: ',
      '',
    ]);
    model.dispose();
    writeJson(join(folder, 'config_sentence_transformers.json'), {
      prompts: expected.prompts,
      default_prompt_name: 'passage',
    });
    const withDefault = loadModel(folder);
    expect(withDefault.promptFor()).toBe('text: ');
    withDefault.dispose();
  });

  it('gives the same vectors whatever the token budget, in input order', async () => {
    const model = loadModel(fixture('tiny-bert'));
    const whole = await model.embed(texts);
    const single = await model.embed(texts, { batchTokens: 1 });
    expect(maxDifference(whole.vectors, single.vectors)).toBeLessThan(1e-6);
    model.dispose();
  });
});

describe('a cross encoder', () => {
  const from = oracle(fixture('tiny-bert-cross/oracle.safetensors'));
  const pairs = from.meta<[string, string][]>('pairs');
  const maxLength = from.meta<number>('maxLength');
  const model = loadModel(fixture('tiny-bert-cross'));
  afterAll(() => model.dispose());

  it('encodes pairs as transformers does: the document loses its end', () => {
    const encoded = pairs.map(([q, d]) => model.encodePair(q, d, maxLength));
    expect(encoded.map(({ ids }) => ids)).toEqual(from.meta('inputIds'));
    expect(encoded.map(({ types }) => types)).toEqual(from.meta('tokenTypes'));
    expect(encoded.map(({ ids, firstTokens }) => ids[firstTokens - 1])).toEqual([3, 3, 3, 3]);
  });

  it('scores as sentence-transformers does, as probability and raw', async () => {
    const cut = from.meta<number[][]>('inputIds').filter((ids) => ids.length === maxLength).length;
    const { scores, warnings } = await model.score(pairs, { maxLength });
    expect(maxDifference(scores, from.meta<number[]>('scores'))).toBeLessThan(1e-6);
    expect(warnings.map(({ code, count }) => `${code} ${count}`).sort()).toEqual([
      'emptyDocument 1',
      `truncated ${cut}`,
    ]);
    const raw = await model.score(pairs, { maxLength, raw: true });
    expect(maxDifference(raw.scores, from.read('logits'))).toBeLessThan(1e-5);
  });

  it('refuses to embed, and refuses an empty query', async () => {
    await expect(model.embed(['x'])).rejects.toThrow(/cross encoder/);
    await expect(model.score([['  ', 'x']])).rejects.toThrow(InputError);
  });
});

describe('a yes/no reranker such as Qwen3-Reranker', () => {
  const from = oracle(fixture('tiny-qwen3/oracle.safetensors'));
  const pairs = from.meta<[string, string][]>('pairs');
  const rerank =
    from.meta<Record<string, { differences: number[]; inputIds: number[][] }>>('rerank');

  it.each(Object.keys(rerank))('scores with the published template at %s tokens', async (key) => {
    const model = loadModel(fixture('tiny-qwen3'));
    const { differences, inputIds } = rerank[key]!;
    const maxLength = Number(key);
    expect(pairs.map(([q, d]) => model.encodePair(q, d, maxLength).ids)).toEqual(inputIds);
    const raw = await model.score(pairs, { maxLength, raw: true });
    expect(maxDifference(raw.scores, differences)).toBeLessThan(1e-4);
    const { scores } = await model.score(pairs, { maxLength });
    expect(scores[0]).toBeCloseTo(1 / (1 + Math.exp(-differences[0]!)), 5);
    model.dispose();
  });

  it('changes scores with the instruction', async () => {
    const [plain, told] = [undefined, 'find bread'].map((instruction) =>
      loadModel(fixture('tiny-qwen3'), { instruction }),
    );
    const [a, b] = [await plain!.score(pairs), await told!.score(pairs)];
    expect(maxDifference(a.scores, b.scores)).toBeGreaterThan(1e-6);
    plain!.dispose();
    told!.dispose();
  });
});
