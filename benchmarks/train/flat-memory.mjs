/**
 * Whether memory stays flat over a long training: MoE-LoRA (4 experts top-2 and a shared one) on a small Qwen3, forward,
 * InfoNCE, backward, gradient clipping, AdamW, over batches whose number and lengths change with every step.
 * Exits with 1 when live bytes or buffers at any later sample differ from those after the warm-up.
 *
 *   npm run bench -- flat-memory [STEPS]
 */
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  AdamW,
  backendInfo,
  backward,
  clipGradNorm,
  disposeBatch,
  ForwardContext,
  l2Normalize,
  memory,
  Philox,
  packBatch,
  scope,
  segmentMean,
  sliceRows,
  tensor,
} from '@unimoer/core';
import { infoNce } from '@unimoer/losses';
import { loadModel } from '@unimoer/models';
import { attachAdapter } from '@unimoer/moe-lora';
import { record, root } from '../lib/record.mjs';

const steps = Number(process.argv[2] ?? 10000);
const every = 500;
if (!Number.isInteger(steps) || steps < 3 * every) {
  console.error(`error: STEPS: got ${process.argv[2]}, expected a whole number of at least 1500`);
  process.exit(2);
}
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

const model = loadModel(join(root, 'fixtures/tiny-qwen3'), { dtype: 'bf16', forBackward: true });
const names = ['e0', 'e1', 'e2', 'e3', 'shared'];
const adapter = attachAdapter(
  model.backbone.linears(),
  {
    kind: 'moe',
    target: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
    experts: names.map((name) => ({
      name,
      rank: 4,
      alpha: 8,
      task: 'shared',
      alwaysOn: name === 'shared',
    })),
    router: {
      name: 'pipeline',
      options: {
        granularity: 'sequence',
        scorer: { kind: 'linear', initStd: 0.02 },
        map: { kind: 'topK', k: 2, renormalize: 'one' },
      },
    },
  },
  { seed: 1, hiddenSize: model.backbone.hiddenSize },
);
const parameters = adapter.parameters();
const optimizer = new AdamW(parameters, { lr: 1e-4 });
const rng = new Philox(3);
const { vocabSize } = model.backbone.config;

function step() {
  const half = 2 + rng.int(5);
  const words = (n) => Array.from({ length: n }, () => rng.int(vocabSize));
  const queries = Array.from({ length: half }, () => words(1 + rng.int(24)));
  // a document holds its query's tokens in another order among others, so that there is something to learn
  const documents = queries.map((query) => rng.shuffle([...query, ...words(rng.int(25))]));
  const sequences = [...queries, ...documents];
  const batch = packBatch(sequences);
  const loss = scope(() => {
    const ctx = new ForwardContext(batch, { training: true, hooks: [...adapter.hooks] });
    const vectors = l2Normalize(segmentMean(model.backbone.forward(ctx), batch.cuSeqlens));
    const order = Array.from({ length: half }, (_, i) => i);
    const targets = tensor(order, [half], { dtype: 'i32' });
    const value = infoNce(
      sliceRows(vectors, 0, half),
      sliceRows(vectors, half, 2 * half),
      targets,
      {
        temperature: 0.05,
      },
    );
    backward(value);
    return value.item();
  });
  clipGradNorm(parameters, 1);
  optimizer.step();
  optimizer.zeroGrad();
  disposeBatch(batch);
  return loss;
}

function sample(at, loss) {
  collect();
  const { liveBytes, peakBytes, cachedBytes, liveBuffers } = memory();
  const { rss, heapUsed, external } = process.memoryUsage();
  const row = { step: at, liveBytes, liveBuffers, peakBytes, cachedBytes, rss, heapUsed, external };
  console.error(
    `step ${String(at).padStart(6)}  live ${liveBytes} B in ${liveBuffers}  cached ${(cachedBytes / 2 ** 20).toFixed(1)} MiB` +
      `  RSS ${(rss / 2 ** 20).toFixed(1)} MiB  heap ${(heapUsed / 2 ** 20).toFixed(1)} MiB  loss ${loss.toFixed(4)}`,
  );
  return { ...row, loss };
}

/** Least-squares slope per 1,000 steps. */
function slope(rows, key) {
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const [x, y] = [rows.map((row) => row.step / 1000), rows.map((row) => row[key])];
  const [mx, my] = [mean(x), mean(y)];
  const covariance = x.reduce((sum, value, i) => sum + (value - mx) * (y[i] - my), 0);
  return covariance / x.reduce((sum, value) => sum + (value - mx) ** 2, 0);
}

const samples = [];
const start = performance.now();
for (let at = 1; at <= steps; at++) {
  const loss = step();
  if (!Number.isFinite(loss)) throw new Error(`step ${at}: loss is ${loss}`);
  if (at % every === 0 || at === steps) samples.push(sample(at, loss));
}
const seconds = (performance.now() - start) / 1e3;
const [warm, ...later] = samples;
const drifted = later.filter(
  ({ liveBytes, liveBuffers }) => liveBytes !== warm.liveBytes || liveBuffers !== warm.liveBuffers,
);
// the allocator and V8 settle over the first half
const middle = samples.length >> 1;
const settled = samples.slice(middle);
const perThousandSteps = {
  rss: slope(settled, 'rss'),
  heapUsed: slope(settled, 'heapUsed'),
  cachedBytes: slope(settled, 'cachedBytes'),
};
// V8 returns young pages now and then, which swings RSS below its plateau; the plateau itself would show growth
const highestRss = [samples.slice(0, middle), settled].map((half) =>
  Math.max(...half.map(({ rss }) => rss)),
);
console.error(
  `live bytes ${drifted.length === 0 ? 'flat' : 'NOT flat'} over ${steps} steps (${seconds.toFixed(0)} s); second half per 1,000 steps: ` +
    `RSS ${(perThousandSteps.rss / 1024).toFixed(1)} KiB, V8 heap ${(perThousandSteps.heapUsed / 1024).toFixed(1)} KiB; ` +
    `highest RSS of the halves ${highestRss.map((rss) => (rss / 2 ** 20).toFixed(1)).join(' and ')} MiB`,
);
if (process.env.UNIMOER_BENCH_RECORD !== '0') {
  const { name, isa, threads } = backendInfo();
  record('flat-memory', {
    backend: { name, isa, threads },
    model: 'fixtures/tiny-qwen3, bf16, MoE-LoRA on every linear',
    steps,
    seconds,
    flat: drifted.length === 0,
    perThousandSteps,
    highestRssOfHalves: highestRss,
    samples,
  });
}
model.dispose();
process.exitCode = drifted.length === 0 ? 0 : 1;
