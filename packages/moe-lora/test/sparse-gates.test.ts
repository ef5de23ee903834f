import {
  type Backend,
  backward,
  ForwardContext,
  FrozenWeight,
  getBackend,
  type LayerHook,
  Linear,
  mul,
  packBatch,
  scope,
  sum,
  type Task,
  tanh,
  tensor,
} from '@unimoer/core';
import { afterAll, describe, expect, it } from 'vitest';
import { attachAdapter, type MoeLoraConfig, type PipelineRouterConfig } from '../src/index';
import { noise } from './toy';

const WIDTH = 24;
const LENGTHS = [50, 41, 64, 37];
const TASKS: Task[] = ['embedding', 'reranking', 'reranking', 'embedding'];

function mixture(router: MoeLoraConfig['router'], names: readonly string[]): MoeLoraConfig {
  const tasks: readonly (Task | 'shared')[] =
    router.name === 'hardSwitch' ? ['embedding', 'reranking'] : ['shared'];
  const experts = names.map((name, i) => ({ name, task: tasks[i % tasks.length]!, rank: 4 }));
  return {
    kind: 'moe',
    target: 'all',
    experts: [...experts, { name: 'always', task: 'shared', rank: 2, alwaysOn: true }],
    router,
  };
}

const pipeline = (map: PipelineRouterConfig['map']): MoeLoraConfig['router'] => ({
  name: 'pipeline',
  options: { granularity: 'sequence', scorer: { kind: 'linear', initStd: 1 }, map },
});

const CASES: [string, MoeLoraConfig][] = [
  ['top 2 of 6', mixture(pipeline({ kind: 'topK', k: 2 }), ['a', 'b', 'c', 'd', 'e', 'f'])],
  [
    'Sparsegen',
    mixture(pipeline({ kind: 'sparsegen', initialSparsity: 0.5 }), ['a', 'b', 'c', 'd']),
  ],
  ['a hard switch', mixture({ name: 'hardSwitch' }, ['embedding', 'reranking'])],
];

/** Takes the routers' word back that zero gates have no gradient. */
const dense: LayerHook = {
  beginLayer(_layer, _hidden, ctx) {
    if (ctx.gates) ctx.gates = { ...ctx.gates, sparse: false };
  },
};

/** Output and gradients of two linears with the mixture; the share of gates that are zero. */
function step(config: MoeLoraConfig, backend: Backend, extra: LayerHook[]) {
  const linears = [0, 1].map((layer) => {
    const w = FrozenWeight.pack(Float32Array.from(noise(WIDTH * WIDTH, layer)), [WIDTH, WIDTH], {
      dtype: 'f32',
      backend,
    });
    return new Linear(`encoder.layer.${layer}.dense`, layer, w, null);
  });
  const adapter = attachAdapter(linears, config, { seed: 3, hiddenSize: WIDTH, backend });
  adapter.parameters().forEach(({ name, tensor: t }, i) => {
    if (name.includes('lora_')) t.set(noise(t.size, 1000 + i));
  });
  const batch = packBatch(
    LENGTHS.map((length) => new Array<number>(length).fill(1)),
    { backend, tasks: TASKS },
  );
  const shape = [batch.tokens, WIDTH];
  const constant = (stream: number) =>
    tensor(Float32Array.from(noise(batch.tokens * WIDTH, stream)), shape, { backend });
  const ctx = new ForwardContext(batch, { hooks: [...adapter.hooks, ...extra] });
  return scope(() => {
    let hidden = constant(99);
    const direction = constant(77);
    for (const linear of linears) {
      for (const hook of ctx.hooks) hook.beginLayer(linear.layer, hidden, ctx);
      hidden = tanh(linear.forward(hidden, ctx));
    }
    backward(sum(mul(hidden, direction)));
    const gates = adapter.routings(ctx).flatMap((routing) => [...routing.gates.toArray()]);
    const values = new Map<string, ArrayLike<number>>([['y', hidden.toArray()]]);
    for (const { name, tensor: t } of adapter.parameters()) {
      values.set(name, t.grad?.toArray() ?? new Float32Array(t.size));
    }
    adapter.detach();
    for (const linear of linears) linear.dispose();
    return { values, zeros: gates.filter((g) => g === 0).length / gates.length };
  });
}

const BACKENDS = ['reference', 'native'].flatMap((name) => {
  try {
    return [getBackend(name as 'reference' | 'native')];
  } catch {
    return [];
  }
});

describe.each(BACKENDS)('leaving out zero gates on the $name backend', (backend) => {
  const threads = backend.threads();
  afterAll(() => backend.setThreads(threads));

  it.each(CASES)(
    'gives the outputs and gradients of the dense computation: %s',
    (_name, config) => {
      const sparse = step(config, backend, []);
      const full = step(config, backend, [dense]);
      expect(sparse.zeros).toBeGreaterThanOrEqual(0.3);
      for (const [name, expected] of full.values) {
        const actual = sparse.values.get(name)!;
        const size = Math.hypot(...Array.from(expected)) / Math.sqrt(expected.length);
        const bound = 1e-5 * Math.max(size, 1e-3);
        for (let i = 0; i < expected.length; i++) {
          expect(Math.abs(actual[i]! - expected[i]!), `${name}[${i}]`).toBeLessThan(bound);
        }
      }
    },
  );

  it.each(CASES)('has the same bits on 1, 2 and 4 threads: %s', (_name, config) => {
    const runs = [1, 2, 4].map((n) => {
      backend.setThreads(n);
      return step(config, backend, []).values;
    });
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]).toEqual(runs[0]);
  });
});
