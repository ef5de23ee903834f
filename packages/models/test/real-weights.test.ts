import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { disposeBatch, ForwardContext, noGrad, scope, sliceRows } from '@unimoer/core';
import { afterAll, describe, expect, it } from 'vitest';
import { type DecoderBackbone, loadModel, type Model, vocabularyLogits } from '../src/index';
import {
  fixture,
  maxDifference,
  missing,
  oracle,
  removeVariants,
  sharedWeights,
  variant,
} from './fixtures';

afterAll(removeVariants);

const expected = oracle(fixture('real-models.safetensors'));

/** Next-token logits after each token. */
function logitsOf(model: Model, ids: readonly number[], lastOnly = false): Float32Array {
  const batch = model.pack([{ ids }]);
  try {
    return noGrad(() =>
      scope(() => {
        const hidden = model.backbone.forward(new ForwardContext(batch));
        const rows = lastOnly ? sliceRows(hidden, ids.length - 1, ids.length) : hidden;
        return vocabularyLogits(model.backbone as DecoderBackbone, rows).toArray() as Float32Array;
      }),
    );
  } finally {
    disposeBatch(batch);
  }
}

function argmax(values: Float32Array): number {
  return values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
}

describe.skipIf(missing('gte-small'))('gte-small', () => {
  it('embeds as transformers does, the padding of tokenizer.json ignored', async () => {
    const model = loadModel(sharedWeights('gte-small'));
    const texts = expected.meta<string[]>('texts');
    expect(model.warnings).toEqual([]);
    expect(model.maxLength).toBe(512);
    expect(texts.map((text) => model.encodeText(text, 512).ids)).toEqual(expected.meta('inputIds'));
    const { vectors } = await model.embed(texts);
    expect(maxDifference(vectors, expected.read('gte-small'))).toBeLessThan(2e-5);
    model.dispose();
  });
});

describe.skipIf(missing('minimind2-small'))('minimind2-small', () => {
  it('gives the logits of transformers at every position of a chat prompt', () => {
    const bare = loadModel(sharedWeights('minimind2-small'));
    expect(() => logitsOf(bare, [1])).toThrow(/languageHead/);
    bare.dispose();
    const model = loadModel(sharedWeights('minimind2-small'), { languageHead: true });
    const ids = model.tokenizer.encode(expected.meta<string>('chat'), 512).ids;
    expect(ids).toEqual(expected.meta('chatIds'));
    const logits = logitsOf(model, ids);
    const { vocabSize } = model.backbone.config;
    const last = logits.subarray((ids.length - 1) * vocabSize);
    expect(maxDifference(last, expected.read('minimind2-small'))).toBeLessThan(1e-3);
    const best = ids.map((_, t) => argmax(logits.subarray(t * vocabSize, (t + 1) * vocabSize)));
    expect(best).toEqual(expected.meta('argmax'));
    model.dispose();
  });
});

describe.skipIf(missing('stories260K'))('stories260K', () => {
  /** Pieces of llama2.c's tokenizer file: a count, then score f32, length i32 and bytes of each. */
  function pieces(): string[] {
    const data = readFileSync(join(sharedWeights('stories260K'), 'tok512.bin'));
    const found: string[] = [];
    for (let at = 4; at < data.length; ) {
      const length = data.readInt32LE(at + 4);
      const piece = data.toString('utf8', at + 8, at + 8 + length);
      found.push(piece === '<0x0A>' ? '\n' : piece);
      at += 8 + length;
    }
    return found;
  }

  // The greedy story that llama2.c's own test (test_all.py) expects of this checkpoint.
  const story =
    'Once upon a time, there was a little girl named Lily. She loved to play outside in the park. ' +
    'One day, she saw a big, red ball. She wanted to play with it, but it was too high.\n' +
    'Lily\'s mom said, "Lily, let\'s go to the park."';

  it('tells the published greedy story', () => {
    const vocab = pieces();
    const folder = variant(sharedWeights('stories260K'), {
      'tokenizer.json': () => ({
        version: '1.0',
        added_tokens: [],
        normalizer: null,
        pre_tokenizer: null,
        post_processor: null,
        decoder: null,
        model: { type: 'BPE', vocab: Object.fromEntries(vocab.map((p, i) => [p, i])), merges: [] },
      }),
    });
    const model = loadModel(folder);
    const ids = [1];
    let text = '';
    while (text.length <= story.length && ids.length < 150) {
      const next = argmax(logitsOf(model, ids, true));
      ids.push(next);
      text += vocab[next];
    }
    expect(text.trimStart().slice(0, story.length)).toBe(story);
    model.dispose();
  });
});
