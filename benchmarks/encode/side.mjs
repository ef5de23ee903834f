/**
 * Our side of the encoding benchmark. usage: side.mjs SPEC.json f32|bf16 [int8|int4]   the last: frozen weights
 * The vectors go to the file that UNIMOER_BENCH_VECTORS names.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { backendInfo } from '@unimoer/core';
import { loadModel } from '@unimoer/models';
import { serve } from '../lib/side.mjs';
import { forwardFlops } from '../train/flops.mjs';

const [specFile, dtype, weights] = process.argv.slice(2);
const spec = JSON.parse(readFileSync(specFile, 'utf8'));
const model = loadModel(spec.model, { dtype, ...(weights ? { weights } : {}) });
const encode = () => model.embed(spec.texts, { maxLength: spec.maxLength });

const lengths = spec.texts.map((text) => model.encodeText(text, spec.maxLength).ids.length);
const settings = { isa: backendInfo().isa, flops: forwardFlops(model.backbone, lengths) };

await serve(
  encode,
  async () => {
    const { vectors } = await encode();
    writeFileSync(process.env.UNIMOER_BENCH_VECTORS, vectors);
    return {};
  },
  settings,
);
