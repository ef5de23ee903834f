/**
 * Our side of the training-step benchmark: packed forward, InfoNCE over mean-pooled vectors, backward, AdamW.
 * usage: step.mjs SPEC.json f32|bf16
 */
import { readFileSync } from 'node:fs';
import {
  AdamW,
  backendInfo,
  backward,
  clipGradNorm,
  disposeBatch,
  ForwardContext,
  l2Normalize,
  packBatch,
  readSafetensors,
  scope,
  segmentMean,
  sliceRows,
  tensor,
} from '@unimoer/core';
import { infoNce } from '@unimoer/losses';
import { loadModel } from '@unimoer/models';
import { attachAdapter } from '@unimoer/moe-lora';
import { serve } from '../lib/side.mjs';
import { stepFlops } from './flops.mjs';

const [specFile, dtype] = process.argv.slice(2);
const spec = JSON.parse(readFileSync(specFile, 'utf8'));
const model = loadModel(spec.model, { dtype, forBackward: true });
const rank = spec.moe?.rank ?? spec.rank;
const alpha = spec.scale * rank;
const adapter = attachAdapter(
  model.backbone.linears(),
  spec.moe
    ? {
        kind: 'moe',
        target: spec.targets,
        experts: expertNames(spec.moe).map((name) => ({
          name,
          rank,
          alpha,
          task: 'shared',
          alwaysOn: name === 'shared',
        })),
        router: { name: 'pipeline', options: routerOptions(spec.moe) },
      }
    : { kind: 'lora', target: spec.targets, rank, alpha },
  { seed: 1, hiddenSize: model.backbone.hiddenSize },
);

function expertNames(moe) {
  const names = Array.from({ length: moe.experts }, (_, i) => `e${i}`);
  return moe.shared ? [...names, 'shared'] : names;
}

function routerOptions(moe) {
  return {
    granularity: 'sequence',
    scorer: { kind: 'linear', initStd: 0.02 },
    map:
      moe.kind === 'sparsegen'
        ? { kind: 'sparsegen', initialSparsity: 0 }
        : { kind: 'topK', k: moe.topK, renormalize: 'one' },
  };
}

const parameters = adapter.parameters();
const values = readSafetensors(spec.adapters);
for (const { name, tensor: target } of parameters) {
  const router = /^layer\.(\d+)\.router\.weight$/.exec(name);
  if (router) {
    target.set(values.read(`router.${router[1]}.weight`));
    continue;
  }
  const low = /^(.*?)(?:\.experts\.(\w+))?\.lora_([AB])$/.exec(name);
  if (!low) continue;
  const full = values.read(`${low[1]}.${low[3]}`);
  target.set(low[2] ? expertSlice(full, low[2], low[3], target.shape) : full);
}
values.close();

/** Rows of A or columns of B that belong to one expert. */
function expertSlice(full, name, side, shape) {
  const at = expertNames(spec.moe).indexOf(name);
  if (side === 'A') return full.subarray(at * rank * shape[1], (at + 1) * rank * shape[1]);
  const width = full.length / shape[0];
  const out = new Float32Array(shape[0] * rank);
  for (let r = 0; r < shape[0]; r++) {
    out.set(full.subarray(r * width + at * rank, r * width + (at + 1) * rank), r * rank);
  }
  return out;
}

const optimizer = new AdamW(parameters, { lr: spec.lr, weightDecay: 0 });
const half = spec.sequences.length / 2;
const targets = tensor(
  Array.from({ length: half }, (_, i) => i),
  [half],
  { dtype: 'i32' },
);
const batch = packBatch(spec.sequences);

function forwardBackward() {
  return scope(() => {
    const ctx = new ForwardContext(batch, { training: true, hooks: [...adapter.hooks] });
    const hidden = model.backbone.forward(ctx);
    const vectors = l2Normalize(segmentMean(hidden, batch.cuSeqlens));
    const loss = infoNce(sliceRows(vectors, 0, half), sliceRows(vectors, half, 2 * half), targets, {
      temperature: spec.temperature,
    });
    backward(loss);
    return loss.item();
  });
}

await serve(
  () => {
    forwardBackward();
    optimizer.step();
    optimizer.zeroGrad();
  },
  () => {
    const loss = forwardBackward();
    const gradNorm = clipGradNorm(parameters, Number.POSITIVE_INFINITY);
    optimizer.zeroGrad();
    return { loss, gradNorm };
  },
  {
    isa: backendInfo().isa,
    threads: backendInfo().threads,
    flops: stepFlops(model.backbone, spec),
  },
);
disposeBatch(batch);
