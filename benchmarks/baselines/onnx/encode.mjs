/**
 * ONNX Runtime's side of the encoding benchmark, called directly or through transformers.js.
 *
 * usage: encode.mjs SPEC.json onnxruntime|transformers FORM BATCH
 *   FORM   graph and precision: plain/f32, fused/f32, fused/int8, and for transformers.js plain/int8
 *   BATCH  texts per run, or `auto`: length-sorted, at the fastest of several sizes
 *
 * Direct runs take the graph with pooling inside and hand the tokeniser's ids over; transformers.js runs its
 * feature-extraction pipeline with mean pooling. Both end in normalised vectors.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { serve } from '../../lib/side.mjs';

const [specFile, library, form, batchArgument] = process.argv.slice(2);
const spec = JSON.parse(readFileSync(specFile, 'utf8'));
const [graph, precision] = form.split('/');
const session = {
  executionProviders: ['cpu'],
  intraOpNumThreads: 2,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
};
const DIM = 384;

async function direct() {
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const { Tokenizer } = await import('@huggingface/tokenizers');
  const tokenizer = new Tokenizer(
    JSON.parse(readFileSync(join(spec.model, 'tokenizer.json'), 'utf8')),
    {},
  );
  const file = graph === 'plain' ? 'plain' : precision;
  const model = await InferenceSession.create(join(spec.onnx, 'pooled', `${file}.onnx`), session);
  const tokens = (text) => {
    const { ids } = tokenizer.encode(text);
    return ids.length <= spec.maxLength
      ? ids
      : [...ids.slice(0, spec.maxLength - 1), ids[ids.length - 1]];
  };
  return async (texts, size, sorted) => {
    const rows = texts.map(tokens);
    const out = new Float32Array(texts.length * DIM);
    for (const members of split(order(rows, sorted), size)) {
      const width = Math.max(...members.map((i) => rows[i].length));
      const shape = [members.length, width];
      const ids = new BigInt64Array(members.length * width);
      const mask = new BigInt64Array(ids.length);
      members.forEach((i, row) => {
        rows[i].forEach((id, at) => {
          ids[row * width + at] = BigInt(id);
          mask[row * width + at] = 1n;
        });
      });
      const { sentence_embedding } = await model.run({
        input_ids: new Tensor('int64', ids, shape),
        attention_mask: new Tensor('int64', mask, shape),
        token_type_ids: new Tensor('int64', new BigInt64Array(ids.length), shape),
      });
      place(out, members, sentence_embedding.data);
      sentence_embedding.dispose();
    }
    return out;
  };
}

async function pipelined() {
  const { env, pipeline } = await import('@huggingface/transformers');
  env.allowRemoteModels = false;
  env.localModelPath = spec.onnx;
  const dtype = { f32: 'fp32', int8: 'q8' }[precision];
  const extract = await pipeline('feature-extraction', graph, {
    dtype,
    device: 'cpu',
    session_options: session,
  });
  return async (texts, size, sorted) => {
    const out = new Float32Array(texts.length * DIM);
    for (const members of split(order(texts, sorted), size)) {
      const vectors = await extract(
        members.map((i) => texts[i]),
        { pooling: 'mean', normalize: true },
      );
      place(out, members, vectors.data);
    }
    return out;
  };
}

/** Longest first where sorted: characters stand for tokens that a pipeline does not show. */
function order(rows, sorted) {
  const all = rows.map((_, i) => i);
  return sorted ? all.sort((a, b) => rows[b].length - rows[a].length) : all;
}

function split(all, size) {
  const parts = [];
  for (let at = 0; at < all.length; at += size) parts.push(all.slice(at, at + size));
  return parts;
}

function place(out, members, vectors) {
  members.forEach((i, row) => {
    out.set(vectors.subarray(row * DIM, (row + 1) * DIM), i * DIM);
  });
}

const encode = await { onnxruntime: direct, transformers: pipelined }[library]();
const sorted = batchArgument === 'auto';

async function fastestSize() {
  const sample = spec.texts.slice(0, 64);
  const times = [];
  for (const size of [4, 8, 16, 32]) {
    let best = Number.POSITIVE_INFINITY;
    for (let repeat = 0; repeat < 2; repeat++) {
      const start = performance.now();
      await encode(sample, size, true);
      best = Math.min(best, performance.now() - start);
    }
    times.push([best, size]);
  }
  return times.sort((a, b) => a[0] - b[0])[0][1];
}

const size = sorted ? await fastestSize() : Number(batchArgument);
const run = () => encode(spec.texts, size, sorted);
await serve(
  run,
  async () => {
    writeFileSync(process.env.UNIMOER_BENCH_VECTORS, await run());
    return {};
  },
  { batchSize: size, sorted },
);
