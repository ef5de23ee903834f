import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError, memory, readSafetensors, writeSafetensors } from '@unimoer/core';
import { afterAll, describe, expect, it } from 'vitest';
import { loadModel, planBatches, rerankerTemplateHash, trainingView } from '../src/index';
import { fixture, removeVariants, variant } from './fixtures';

afterAll(removeVariants);

const bert = (options = {}) => loadModel(fixture('tiny-bert'), options);

describe('embed', () => {
  it('refuses an empty query by name and encodes an empty document with one counted warning', async () => {
    const model = bert();
    const query = model.embed(['x', ' '], { task: 'query', names: ['q1', 'q2'] });
    await expect(query).rejects.toThrow(/q2: got an empty query/);
    const { warnings } = await model.embed(['x', '', ' '], { task: 'document' });
    expect(warnings).toMatchObject([{ code: 'emptyDocument', count: 2 }]);
    model.dispose();
  });

  it('gives zeros and a counted warning where the tokeniser yields nothing', async () => {
    const model = loadModel(fixture('tiny-qwen3'));
    const { vectors, dim, warnings } = await model.embed(['', 'no']);
    expect(vectors.subarray(0, dim).every((v) => v === 0)).toBe(true);
    expect(Math.hypot(...vectors.subarray(dim))).toBeCloseTo(1, 5);
    expect(warnings.map(({ code }) => code)).toEqual(['emptyDocument', 'noTokens']);
    model.dispose();
  });

  it('clamps a length beyond the positions, and refuses lengths and budgets that are no counts', async () => {
    const loaded = bert({ maxLength: 1000 });
    expect(loaded.maxLength).toBe(64);
    expect(loaded.warnings.join()).toMatch(/1000 is beyond the model's 64 positions/);
    const { warnings } = await loaded.embed(['mill '.repeat(100)], { maxLength: 100 });
    expect(warnings.map(({ code }) => code)).toEqual(['lengthClamped', 'truncated']);
    await expect(loaded.embed(['x'], { maxLength: 0 })).rejects.toThrow(InputError);
    await expect(loaded.embed(['x'], { batchTokens: 0 })).rejects.toThrow(InputError);
    await expect(loaded.embed(['x'], { maxLength: 1 })).rejects.toThrow(/adds 2 tokens/);
    expect(() => bert({ maxLength: 1.5 })).toThrow(InputError);
    loaded.dispose();
  });

  it('stops when aborted and reports progress', async () => {
    const model = bert();
    const controller = new AbortController();
    const seen: number[] = [];
    const work = model.embed(['mill', 'bread', 'wind'], {
      batchTokens: 1,
      signal: controller.signal,
      onProgress: (done, total) => {
        seen.push(done);
        expect(total).toBe(3);
        if (done === 2) controller.abort(new Error('stop'));
      },
    });
    await expect(work).rejects.toThrow('stop');
    expect(seen).toEqual([1, 2]);
    model.dispose();
  });

  it('names the first text whose vector is not finite', async () => {
    const model = bert();
    model.hooks.push({
      beginLayer(_layer, hidden, ctx) {
        if (ctx.batch.lengths.includes(3))
          hidden.set(new Float32Array(hidden.size).fill(Number.NaN));
      },
    });
    const work = model.embed(['the old mill grinds', 'no', 'no'], {
      names: ['a', 'b', 'c'],
      batchTokens: 1,
    });
    await expect(work).rejects.toThrow(/^b: got a result that is not finite/);
    model.dispose();
  });

  it('leaves no tensor behind', async () => {
    const before = memory().liveBytes;
    const model = bert();
    await model.embed(['mill', 'bread']);
    const loaded = memory().liveBytes;
    await model.embed(['mill', 'bread']);
    expect(memory().liveBytes).toBe(loaded);
    model.dispose();
    expect(memory().liveBytes).toBe(before);
  });
});

describe('loading', () => {
  const changed = (changes: Parameters<typeof variant>[1], source = 'tiny-bert') =>
    variant(fixture(source), changes);
  const config = (fields: object, source?: string) =>
    changed({ 'config.json': (old) => ({ ...old, ...fields }) }, source);
  /** A copy of tiny-bert whose tensors are changed. */
  function weights(change: (entries: Parameters<typeof writeSafetensors>[1]) => object): string {
    const folder = changed({});
    const file = readSafetensors(fixture('tiny-bert/model.safetensors'));
    const entries = Object.fromEntries(
      file.names().map((name) => {
        const { shape } = file.info(name);
        return [name, { dtype: 'F32' as const, shape, data: file.read(name) }];
      }),
    );
    writeSafetensors(
      join(folder, 'model.safetensors'),
      change(entries) as Parameters<typeof writeSafetensors>[1],
    );
    return folder;
  }
  const query = 'encoder.layer.1.attention.self.query.weight';

  it.each([
    [
      'an unknown family',
      () => config({ model_type: 'mamba' }),
      /model_type: got "mamba", expected one of bert, llama, mistral, qwen2, qwen3/,
    ],
    ['a missing field', () => config({ hidden_size: undefined }), /hidden_size: got nothing/],
    ['heads that do not divide', () => config({ num_attention_heads: 7 }), /num_attention_heads/],
    [
      'a shape that differs',
      () => config({ intermediate_size: 97 }),
      /shape \[96,64\], expected \[97,64\]/,
    ],
    [
      'a small vocabulary',
      () => config({ vocab_size: 10 }),
      /token id \d+, expected ids below vocab_size 10/,
    ],
    [
      'an unknown rotary scaling',
      () => config({ rope_parameters: { rope_type: 'yarn' } }, 'tiny-qwen3'),
      /rope_type: got "yarn"/,
    ],
    [
      'an unknown module',
      () => changed({ 'modules.json': () => [{ type: 'x.Dense', path: '' }] }),
      /\[0\]\.type: got "x\.Dense"/,
    ],
  ])('refuses %s, naming file and field', (_, make, message) => {
    const folder = make();
    expect(() => loadModel(folder)).toThrow(InputError);
    expect(() => loadModel(folder)).toThrow(message);
  });

  it('refuses a folder that is absent, one without configuration, and JSON that is none', () => {
    expect(() => loadModel('no/such/folder')).toThrow(/no such folder/);
    expect(() => loadModel(fixture())).toThrow(/config\.json: got no such file/);
    const folder = changed({});
    writeFileSync(join(folder, 'config.json'), '{');
    expect(() => loadModel(folder)).toThrow(/config\.json: .*expected valid JSON/);
  });

  it('refuses a missing tensor, a wrong dtype and NaN, naming the tensor', () => {
    const without = weights(({ [query]: _, ...rest }) => rest);
    expect(() => loadModel(without)).toThrow(`tensor ${query}: got no such tensor`);
    const ints = weights((all) => ({
      ...all,
      [query]: { dtype: 'I32', shape: [64, 64], data: new Int32Array(4096) },
    }));
    expect(() => loadModel(ints)).toThrow(`tensor ${query}: got dtype I32`);
    for (const name of [query, 'embeddings.LayerNorm.bias']) {
      const broken = weights((all) => {
        (all[name]!.data as Float32Array)[3] = Number.NaN;
        return all;
      });
      expect(() => loadModel(broken)).toThrow(new RegExp(`tensor ${name}.*index 3`));
    }
  });

  it('warns of unused tensors by name, and accepts prefixes and a file with another name', async () => {
    const folder = weights((all) => {
      const prefixed = Object.entries(all).map(([name, entry]) => [`bert.${name}`, entry]);
      const extra = { dtype: 'F32', shape: [1], data: new Float32Array(1) };
      return { ...Object.fromEntries(prefixed), 'cls.predictions.bias': extra };
    });
    const model = loadModel(folder);
    expect(model.warnings).toEqual([`${folder}: unused tensors: cls.predictions.bias`]);
    const plain = bert();
    expect((await model.embed(['mill'])).vectors).toEqual((await plain.embed(['mill'])).vectors);
    model.dispose();
    plain.dispose();
  });

  it('reads both configuration dialects to the same rotation', async () => {
    const old = changed(
      {
        'config.json': ({ rope_parameters, ...rest }) => {
          const { rope_theta } = rope_parameters as { rope_theta: number };
          return { ...rest, rope_theta, rope_scaling: null };
        },
      },
      'tiny-qwen3',
    );
    const [a, b] = [loadModel(old), loadModel(fixture('tiny-qwen3'))];
    expect((await a.embed(['no mill'])).vectors).toEqual((await b.embed(['no mill'])).vectors);
    expect(loadModel(config({ rope_parameters: { rope_theta: 500 } }, 'tiny-qwen3')).dim).toBe(64);
    a.dispose();
    b.dispose();
  });
});

describe('locating', () => {
  it.each([
    ['npm:Not A Name', /npm package name/],
    ['npm:../x', /npm package name/],
    ['npm:@unimoer/no-such-package', /npm install @unimoer\/no-such-package/],
    ['hf:onlyname', /hf:ORG\/NAME/],
    ['hf:a/b/c', /hf:ORG\/NAME/],
    ['hf:a/..', /hf:ORG\/NAME/],
    ['hf:no/such-model@v1', /no snapshot of revision v1/],
  ])('%s is refused', (model, message) => {
    expect(() => loadModel(model)).toThrow(InputError);
    expect(() => loadModel(model)).toThrow(message);
  });
});

it('packs batches longest first within the budget; an item beyond it stands alone', () => {
  expect(planBatches([3, 9, 2, 4, 2], 6)).toEqual([[1], [3], [0, 2], [4]]);
  expect(planBatches([], 6)).toEqual([]);
});

it('has one hash per wording of the reranker prompt', () => {
  expect(rerankerTemplateHash()).toMatch(/^[0-9a-f]{16}$/);
  expect(rerankerTemplateHash('other')).not.toBe(rerankerTemplateHash());
});

it('offers trainers the backbone, names each linear and fingerprints content', () => {
  const [a, b] = [bert(), loadModel(variant(fixture('tiny-bert'), {}))];
  expect(a.fingerprint).toBe(b.fingerprint);
  expect([...a.linears().keys()]).toHaveLength(12);
  const { backbone, tokenizer } = trainingView(a);
  expect(backbone.linears()[0]!.name).toBe('encoder.layer.0.attention.self.query');
  const pair = tokenizer.encodePair('mill', 'bread', 16);
  expect(pair.ids.slice(0, pair.queryTokens)).toEqual([
    ...tokenizer.encode('mill', 16, 'query').ids,
  ]);
  a.dispose();
  b.dispose();
});
