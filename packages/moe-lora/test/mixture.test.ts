import {
  backward,
  ForwardContext,
  mul,
  noGrad,
  type PackedBatch,
  scope,
  sum,
  type Task,
  type Tensor,
  tensor,
} from '@unimoer/core';
import { describe, expect, it } from 'vitest';
import {
  type AttachedAdapter,
  attachAdapter,
  type MoeLoraConfig,
  moePreset,
  type PipelineRouterConfig,
  type PresetName,
} from '../src/index';
import { backend, batchOf, maxDifference, noise, randomize, Toy } from './toy';

const TASKS: Task[] = ['embedding', 'reranking', 'reranking'];
const LENGTHS = [2, 4, 3];

function routed(options: PipelineRouterConfig, extra: Partial<MoeLoraConfig> = {}): MoeLoraConfig {
  return {
    kind: 'moe',
    target: 'all',
    experts: [
      { name: 'embedding', task: 'embedding', rank: 2, alpha: 4 },
      { name: 'reranking', task: 'reranking', rank: 3, alpha: 3 },
      { name: 'shared', task: 'shared', rank: 1, alpha: 2 },
    ],
    router: { name: 'pipeline', options },
    ...extra,
  };
}

const sparse: PipelineRouterConfig = {
  granularity: 'sequence',
  scorer: { kind: 'mlp', hidden: 4 },
  map: { kind: 'sparsegen', initialSparsity: -0.5 },
};

const CASES: [string, MoeLoraConfig][] = [
  ['sequence, mlp, sparsegen', routed(sparse)],
  [
    'sequence, linear, top-2, gain, always-on expert',
    routed(
      {
        granularity: 'sequence',
        scorer: { kind: 'linear' },
        map: { kind: 'topK', k: 2 },
      },
      {
        gateGain: 3,
        experts: [
          ...routed(sparse).experts,
          { name: 'always', task: 'shared', rank: 2, alwaysOn: true },
        ],
      },
    ),
  ],
  [
    'token, linear, softmax',
    routed({ granularity: 'token', scorer: { kind: 'linear' }, map: { kind: 'softmax' } }),
  ],
  [
    'layer, bias, softmax',
    routed({ granularity: 'layer', scorer: { kind: 'bias' }, map: { kind: 'softmax' } }),
  ],
  [
    'task, bias, top-1 not renormalised',
    routed({
      granularity: 'task',
      scorer: { kind: 'bias' },
      map: { kind: 'topK', k: 1, renormalize: 'none' },
    }),
  ],
  [
    'network-wide decision',
    routed({ ...sparse, tie: 'network', scorer: { kind: 'linear', detachInput: true } }),
  ],
];

/** Σ_e g_e·s_e·(x A_eᵀ)B_eᵀ with one loop per expert, from the gates the router reported. */
function expertLoop(toy: Toy, adapter: AttachedAdapter, config: MoeLoraConfig, batch: PackedBatch) {
  const ctx = new ForwardContext(batch, { hooks: [...adapter.hooks] });
  toy.forward(ctx);
  const decisions = adapter.routings(ctx);
  const parameters = new Map(adapter.parameters().map((p) => [p.name, p.tensor.toArray()]));
  const { width } = toy;
  const routedExperts = config.experts.filter((e) => !e.alwaysOn);
  let x = Array.from(toy.input(batch).toArray());
  toy.linears.forEach((linear, layer) => {
    const decision = decisions[layer]!;
    const gates = decision.gates.toArray();
    const rows = decision.rowToGate.toArray();
    const weight = noise(width * width, layer);
    const next: number[] = [];
    for (let t = 0; t < batch.tokens; t++) {
      const row = x.slice(t * width, (t + 1) * width);
      const y = Array.from({ length: width }, (_, o) =>
        row.reduce((total, v, i) => total + v * weight[o * width + i]!, 0),
      );
      for (const expert of config.experts) {
        const { name, rank, alpha = 2 * rank, alwaysOn } = expert;
        const gate = alwaysOn
          ? 1
          : (config.gateGain ?? 1) *
            gates[rows[t]! * routedExperts.length + routedExperts.indexOf(expert)]!;
        const A = parameters.get(`${linear.name}.experts.${name}.lora_A`)!;
        const B = parameters.get(`${linear.name}.experts.${name}.lora_B`)!;
        for (let r = 0; r < rank; r++) {
          const h = row.reduce((total, v, i) => total + v * A[r * width + i]!, 0);
          for (let o = 0; o < width; o++) y[o]! += gate * (alpha / rank) * h * B[o * rank + r]!;
        }
      }
      next.push(...y.map(Math.tanh));
    }
    x = next;
  });
  return x;
}

describe('a mixture', () => {
  it.each(CASES)('equals the loop over experts: %s', (_name, config) => {
    const toy = new Toy(5, 2, 'f64');
    const adapter = attachAdapter(toy.linears, config, toy.options());
    randomize(adapter.parameters());
    const batch = batchOf(LENGTHS, TASKS);
    const actual = noGrad(() => toy.run(batch, adapter.hooks).toArray());
    const expected = noGrad(() => expertLoop(toy, adapter, config, batch));
    expect(maxDifference(actual, expected)).toBeLessThan(1e-12);
  });

  it.each(CASES)('has the gradients of finite differences: %s', (_name, config) => {
    const toy = new Toy(4, 2, 'f64');
    const adapter = attachAdapter(toy.linears, config, toy.options());
    const parameters = adapter.parameters();
    randomize(parameters);
    const batch = batchOf(LENGTHS, TASKS);
    const direction = tensor(noise(batch.tokens * 4, 77), [batch.tokens, 4], {
      dtype: 'f64',
      backend,
    });
    const loss = (): Tensor => sum(mul(toy.run(batch, adapter.hooks), direction));
    scope(() => backward(loss()));
    const value = (): number => noGrad(() => scope(() => loss().item()));
    const step = 1e-6;
    for (const { name, tensor: parameter } of parameters) {
      const gradient = parameter.grad?.toArray() ?? new Float64Array(parameter.size);
      const values = Float64Array.from(parameter.toArray());
      for (let i = 0; i < values.length; i++) {
        const at = (delta: number): number => {
          const moved = Float64Array.from(values);
          moved[i]! += delta;
          parameter.set(moved);
          return value();
        };
        const numeric = (at(step) - at(-step)) / (2 * step);
        const bound = 1e-5 * Math.max(1e-3, Math.abs(numeric));
        expect(Math.abs(gradient[i]! - numeric), `${name}[${i}]`).toBeLessThan(bound);
      }
      parameter.set(values);
    }
  });

  it('a hard switch is the two dedicated LoRAs, bit for bit', () => {
    const toy = new Toy(6, 2);
    const config = moePreset('hardSwitch', { target: 'all', rank: 3 });
    const alone = (task: Task): Float32Array => {
      const adapter = attachAdapter(
        toy.linears,
        { kind: 'lora', target: 'all', rank: 3, initKey: task },
        toy.options(),
      );
      fillB(adapter, task);
      const y = noGrad(() => toy.run(batchOf([4]), adapter.hooks).toArray());
      adapter.detach();
      return y as Float32Array;
    };
    const expected = { embedding: alone('embedding'), reranking: alone('reranking') };
    expect(expected.embedding).not.toEqual(expected.reranking);
    const adapter = attachAdapter(toy.linears, config, toy.options());
    fillB(adapter, 'embedding', '.embedding.');
    fillB(adapter, 'reranking', '.reranking.');
    for (const task of ['embedding', 'reranking'] as const) {
      const y = noGrad(() => toy.run(batchOf([4], [task]), adapter.hooks).toArray());
      expect(y).toEqual(expected[task]);
    }
  });

  it('sends no task gradient to router and A while B is zero', () => {
    const toy = new Toy(4, 1);
    const adapter = attachAdapter(
      toy.linears,
      routed({ ...sparse, scorer: { kind: 'linear', initStd: 1 } }),
      toy.options(),
    );
    scope(() => backward(sum(toy.run(batchOf(LENGTHS, TASKS), adapter.hooks))));
    for (const { name, tensor: parameter } of adapter.parameters()) {
      const norm = Math.hypot(...(parameter.grad?.toArray() ?? [0]));
      if (name.endsWith('lora_B')) expect(norm, name).toBeGreaterThan(0);
      else expect(norm, name).toBe(0);
    }
  });

  it('frees everything on detach', () => {
    const before = backend.memory().liveBuffers;
    const toy = new Toy(4, 2);
    const made = backend.memory().liveBuffers;
    for (const name of ['proposal', 'unimoer', 'softmaxTopK'] as PresetName[]) {
      const adapter = attachAdapter(
        toy.linears,
        moePreset(name, { target: 'all', rank: 2 }),
        toy.options(),
      );
      adapter.detach();
    }
    expect(backend.memory().liveBuffers).toBe(made);
    expect(made).toBeGreaterThan(before);
  });
});

/** B of a task's expert, the same whether it stands alone or in a mixture. */
function fillB(adapter: AttachedAdapter, task: Task, part = ''): void {
  for (const { name, tensor: parameter } of adapter.parameters()) {
    if (!name.endsWith('lora_B') || !name.includes(part)) continue;
    const layer = Number(/layer\.(\d)/.exec(name)![1]);
    parameter.set(noise(parameter.size, task === 'embedding' ? 500 + layer : 600 + layer));
  }
}
