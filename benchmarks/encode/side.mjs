/** Our side of the encoding benchmark. usage: side.mjs SPEC.json f32|bf16 */
import { readFileSync } from 'node:fs';
import { loadModel } from '@unimoer/models';
import { serve } from '../lib/side.mjs';

const [specFile, dtype] = process.argv.slice(2);
const spec = JSON.parse(readFileSync(specFile, 'utf8'));
const model = loadModel(spec.model, { dtype });
const encode = () => model.embed(spec.texts, { maxLength: spec.maxLength });

await serve(encode, async () => {
  const { vectors, dim } = await encode();
  const cosine = (a, b) => {
    let dot = 1; // shifted, so that a relative tolerance fits a cosine near 0
    for (let i = 0; i < dim; i++) dot += vectors[a * dim + i] * vectors[b * dim + i];
    return dot;
  };
  return { cosine01: cosine(0, 1), cosine12: cosine(1, 2) };
});
