import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  AdamW,
  attention,
  backward,
  type Backend,
  clipGradNorm,
  cosineWarmup,
  crossEntropy,
  gelu,
  getBackend,
  l2Normalize,
  layerNorm,
  linearWarmupDecay,
  logSoftmax,
  type Parameter,
  rmsNorm,
  scope,
  setDefaultBackend,
  softplus,
  swiglu,
  type Tensor,
  tensor,
} from '../src/index';
import { loadNativeBackend } from '../src/backend/native';
import { assertAllClose } from '../src/testing/allclose';

interface OpsFixture {
  cases: {
    op: string;
    inputs: { shape: number[]; data: number[] }[];
    value: number[];
    dy: number[];
    grads: (number[] | null)[];
  }[];
}

interface OptimFixture {
  adamw: {
    shapes: number[][];
    start: number[][];
    maxNorm: number;
    steps: { grads: number[][]; norm: number; clipped: number[][]; params: number[][] }[];
  };
  schedules: { warmup: number; total: number; linear: number[]; cosine: number[] };
}

function fixture<T>(name: string): T {
  return JSON.parse(
    readFileSync(new URL(`../../../fixtures/core/${name}`, import.meta.url), 'utf8'),
  ) as T;
}

const ops = fixture<OpsFixture>('ops.json');
const optim = fixture<OptimFixture>('optim.json');
const reference = getBackend('reference');
const native = loadNativeBackend().backend;
beforeAll(() => setDefaultBackend(reference));

const bounds = (): Tensor => tensor([0, 3, 7], [3], { dtype: 'i32' });
const heads = (kvHeads: number, causal: boolean) => ({ heads: 2, kvHeads, headDim: 8, causal });

const runs: Record<string, (...inputs: Tensor[]) => Tensor> = {
  gelu: (x) => gelu(x),
  geluTanh: (x) => gelu(x, { approximate: 'tanh' }),
  softplus,
  logSoftmax,
  l2Normalize: (x) => l2Normalize(x),
  layerNorm: (x, w, b) => layerNorm(x, w!, b!, 1e-5),
  rmsNorm: (x, w) => rmsNorm(x, w!, 1e-6),
  swiglu: (g, u) => swiglu(g, u!),
  crossEntropy: (x, t) => crossEntropy(x, t!),
  attention: (q, k, v) => attention(q, k!, v!, bounds(), heads(2, false)),
  attentionCausalGrouped: (q, k, v) => attention(q, k!, v!, bounds(), heads(1, true)),
};

describe('ops equal PyTorch in f64', () => {
  test.each(ops.cases)('$op', ({ op, inputs, value, dy, grads }) => {
    scope(() => {
      const tensors = inputs.map(({ shape, data }, i) =>
        tensor(data, shape, grads[i] ? { dtype: 'f64', requiresGrad: true } : { dtype: 'i32' }),
      );
      const y = runs[op]!(...tensors);
      assertAllClose(y.toArray(), value, { rtol: 1e-12, atol: 1e-13, what: op });
      backward(y, tensor(dy, [...y.shape], { dtype: 'f64' }));
      grads.forEach((grad, i) => {
        if (grad) assertAllClose(tensors[i]!.grad!.toArray(), grad, { rtol: 1e-10, atol: 1e-12 });
      });
      for (const t of tensors) t.dispose();
    });
  });
});

const backends: [string, Backend][] = [['reference', reference]];
if (native) backends.push(['native', native]);

describe.each(backends)('training on the %s backend', (_name, backend) => {
  test('AdamW with groups and gradient clipping equals torch over six steps', () => {
    const { shapes, start, maxNorm, steps } = optim.adamw;
    const parameters: Parameter[] = shapes.map((shape, i) => ({
      name: `p${i}`,
      group: i === 0 ? 'adapter' : 'router',
      tensor: tensor(start[i]!, shape, { backend, requiresGrad: true }),
    }));
    const optimiser = new AdamW(parameters, {
      lr: 0.01,
      betas: [0.9, 0.99],
      weightDecay: 0.1,
      groups: { router: { lr: 0.003, weightDecay: 0 } },
    });
    for (const step of steps) {
      parameters.forEach(({ tensor: p }, i) => {
        p.grad = tensor(step.grads[i]!, [...p.shape], { backend });
      });
      expect(clipGradNorm(parameters, maxNorm)).toBeCloseTo(step.norm, 5);
      for (const [i, { tensor: p }] of parameters.entries()) {
        assertAllClose(p.grad!.toArray(), step.clipped[i]!, { rtol: 1e-6 });
      }
      optimiser.step();
      optimiser.zeroGrad();
      for (const [i, { tensor: p }] of parameters.entries()) {
        assertAllClose(p.toArray(), step.params[i]!, { rtol: 2e-6, atol: 1e-7 });
      }
    }
    optimiser.dispose();
    for (const { tensor: p } of parameters) p.dispose();
  });
});

test('schedules equal torch LambdaLR', () => {
  const { warmup, total, linear, cosine } = optim.schedules;
  const [falling, waving] = [linearWarmupDecay({ warmup, total }), cosineWarmup({ warmup, total })];
  for (let step = 0; step <= total; step++) {
    expect(falling(step)).toBeCloseTo(linear[step]!, 12);
    expect(waving(step)).toBeCloseTo(cosine[step]!, 12);
  }
});
