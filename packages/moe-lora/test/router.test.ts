import { ForwardContext, noGrad, ones, type Task } from '@unimoer/core';
import { describe, expect, it } from 'vitest';
import {
  attachAdapter,
  createRouter,
  DEFAULT_SPARSITY,
  type MoeLoraConfig,
  moePreset,
  type PresetName,
  presetNames,
  type RouterBuild,
  RoutingRecorder,
  registerRouter,
  routerNames,
} from '../src/index';
import { backend, batchOf, randomize, Toy } from './toy';

const TASKS: Task[] = ['embedding', 'reranking', 'embedding'];
const build: RouterBuild = {
  experts: [
    { name: 'embedding', task: 'embedding', rank: 2 },
    { name: 'reranking', task: 'reranking', rank: 2 },
    { name: 'shared', task: 'shared', rank: 2 },
  ],
  layers: [0],
  hiddenSize: 5,
  seed: 1,
  backend,
};

function routings(config: MoeLoraConfig, tasks: Task[] | undefined = TASKS, training = false) {
  const toy = new Toy(5, 2);
  const adapter = attachAdapter(toy.linears, config, toy.options());
  randomize(adapter.parameters());
  adapter.beginStep(4);
  const ctx = new ForwardContext(batchOf([2, 4, 3], tasks), {
    training,
    hooks: [...adapter.hooks],
  });
  noGrad(() => toy.forward(ctx));
  return { list: adapter.routings(ctx), batch: ctx.batch, adapter, toy };
}

describe('presets', () => {
  it.each(presetNames)('%s starts as the bare backbone and gives rows on the simplex', (name) => {
    const toy = new Toy(5, 2);
    const batch = batchOf([2, 4, 3], TASKS);
    const bare = noGrad(() => toy.run(batch).toArray());
    const config = moePreset(name as PresetName, { target: 'all', rank: 2 });
    const adapter = attachAdapter(toy.linears, config, toy.options());
    expect(noGrad(() => toy.run(batch, adapter.hooks).toArray())).toEqual(bare);
    randomize(adapter.parameters());
    const ctx = new ForwardContext(batch, { hooks: [...adapter.hooks] });
    noGrad(() => toy.forward(ctx));
    const n = adapter.routedExperts.length;
    const decisions = adapter.routings(ctx);
    expect(decisions.map((decision) => decision.layer)).toEqual([0, 1]);
    for (const { gates } of decisions) {
      const values = gates.toArray();
      for (let g = 0; g < 3; g++) {
        const row = Array.from(values.slice(g * n, (g + 1) * n));
        expect(Math.min(...row)).toBeGreaterThanOrEqual(0);
        expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
      }
    }
  });

  it('proposal starts uniform, with every expert active and λ at its published start', () => {
    const toy = new Toy(5, 1);
    const config = moePreset('proposal', { target: 'all', rank: 2 });
    const adapter = attachAdapter(toy.linears, config, toy.options());
    const ctx = new ForwardContext(batchOf([2, 4], ['embedding', 'reranking']), {
      hooks: [...adapter.hooks],
    });
    noGrad(() => toy.forward(ctx));
    const [decision] = adapter.routings(ctx);
    for (const gate of decision!.gates.toArray()) expect(gate).toBeCloseTo(1 / 3, 6);
    expect(decision!.sparsity!.item()).toBeCloseTo(DEFAULT_SPARSITY, 5);
    // logsigmoid(−2.5) + 0.99
    expect(DEFAULT_SPARSITY).toBeCloseTo(-Math.log1p(Math.exp(2.5)) + 0.99, 4);
  });

  it('sparsegen keeps 1 − λ at 0.01 or more however θ moves', () => {
    const { adapter, toy } = routings(moePreset('proposal', { target: 'all', rank: 2 }));
    const theta = adapter.parameters().find((p) => p.name === 'layer.0.router.sparsity')!;
    theta.tensor.set([50]);
    const ctx = new ForwardContext(batchOf([3], ['embedding']), { hooks: [...adapter.hooks] });
    noGrad(() => toy.forward(ctx));
    expect(adapter.routings(ctx)[0]!.sparsity!.item()).toBeLessThanOrEqual(0.9900001);
  });

  it('refuses unknown names', () => {
    expect(() => moePreset('moe' as PresetName, { target: 'all' })).toThrow(/preset.*proposal/);
  });
});

describe('routing', () => {
  it('noise is a function of seed, step and layer and absent in evaluation', () => {
    const config: MoeLoraConfig = {
      ...moePreset('proposal', { target: 'all', rank: 2 }),
      router: {
        name: 'pipeline',
        options: {
          granularity: 'sequence',
          scorer: { kind: 'linear' },
          perturbation: { kind: 'gaussian', scale: 0.5 },
          map: { kind: 'softmax' },
        },
      },
    };
    const logits = (training: boolean) => routings(config, TASKS, training).list[0]!.logits!;
    expect(logits(true).toArray()).toEqual(logits(true).toArray());
    expect(logits(true).toArray()).not.toEqual(logits(false).toArray());
  });

  it('does not depend on the other sequences of the batch', () => {
    const { adapter, toy } = routings(moePreset('unimoer', { target: 'all', rank: 2 }));
    const gatesOf = (lengths: number[]) => {
      const batch = batchOf(
        lengths,
        lengths.map(() => 'embedding' as const),
      );
      const ctx = new ForwardContext(batch, { hooks: [...adapter.hooks] });
      const x = ones([batch.tokens, 5], { backend });
      noGrad(() => toy.forward(ctx, x));
      return Array.from(adapter.routings(ctx)[1]!.gates.toArray().slice(0, 2));
    };
    expect(gatesOf([3, 5])).toEqual(gatesOf([3]));
  });

  it('needs tasks for task routing and gates for experts', () => {
    const config = moePreset('hardSwitch', { target: 'all', rank: 2 });
    const toy = new Toy(5, 1);
    const adapter = attachAdapter(toy.linears, config, toy.options());
    expect(() => toy.run(batchOf([2]), adapter.hooks)).toThrow(/without tasks.*one task per seq/);
    expect(() => toy.run(batchOf([2], ['embedding']))).toThrow(/no gates.*hooks/);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['granularity', { granularity: 'word' }, /granularity: got "word"/],
    ['scorer', { granularity: 'token', scorer: { kind: 'cnn' } }, /scorer.kind/],
    ['map', { granularity: 'token', scorer: { kind: 'linear' } }, /map.kind: got nothing/],
    [
      'bias scorer for sequences',
      { granularity: 'sequence', scorer: { kind: 'bias' }, map: { kind: 'softmax' } },
      /bias with layer or task/,
    ],
    [
      'constant top-1 gate',
      { granularity: 'token', scorer: { kind: 'linear' }, map: { kind: 'topK', k: 1 } },
      /renormalize none/,
    ],
    [
      'k beyond the experts',
      { granularity: 'token', scorer: { kind: 'linear' }, map: { kind: 'topK', k: 4 } },
      /from 1 to 3/,
    ],
    [
      'λ of 1',
      {
        granularity: 'token',
        scorer: { kind: 'linear' },
        map: { kind: 'sparsegen', initialSparsity: 1 },
      },
      /below 0.99/,
    ],
  ])('refuses a wrong %s', (_name, options, message) => {
    expect(() => createRouter('pipeline', build, options)).toThrow(message);
  });

  it('keeps a fixed λ out of the parameters', () => {
    const router = createRouter('pipeline', build, {
      granularity: 'sequence',
      scorer: { kind: 'linear' },
      map: { kind: 'sparsegen', initialSparsity: 0, fixed: true },
    });
    expect(router.parameters().map((p) => p.name)).toEqual([
      'layer.0.router.weight',
      'layer.0.router.bias',
    ]);
  });

  it('refuses a shared routed expert in the hard switch and doubled names', () => {
    expect(() => createRouter('hardSwitch', build)).toThrow(/shared.*one routed expert per task/);
    const config = moePreset('hardSwitch', { target: 'all', rank: 2 });
    const toy = new Toy(5, 1);
    expect(() =>
      attachAdapter(
        toy.linears,
        { ...config, experts: [config.experts[0]!, config.experts[0]!] },
        toy.options(),
      ),
    ).toThrow(/different names/);
  });
});

describe('a router from outside', () => {
  it('is used by name', () => {
    registerRouter('halves', ({ experts }) => ({
      parameters: () => [],
      route: ({ layer, ctx: { batch } }) => ({
        layer,
        gates: ones([batch.sequences, experts.length], { backend }),
        rowToGate: batch.rowToSequence,
        logits: null,
        probabilities: null,
        sparsity: null,
        groupTasks: batch.tasks ?? null,
      }),
    }));
    expect(routerNames()).toContain('halves');
    const config: MoeLoraConfig = {
      ...moePreset('proposal', { target: 'all', rank: 2 }),
      router: { name: 'halves' },
    };
    const { list } = routings(config);
    expect([...list[0]!.gates.toArray()]).toEqual(new Array(9).fill(1));
    expect(() => registerRouter('halves', () => ({ parameters: () => [], route: never }))).toThrow(
      /taken/,
    );
    expect(() => createRouter('thirds', build)).toThrow(/one of halves, hardSwitch, pipeline/);
  });
});

function never(): never {
  throw new Error('not called');
}

describe('RoutingRecorder', () => {
  it('averages gates per layer, expert and task', () => {
    const { list, batch } = routings(moePreset('hardSwitch', { target: 'all', rank: 2 }));
    const recorder = new RoutingRecorder(['embedding', 'reranking']);
    recorder.add(list, batch);
    expect(recorder.summary()).toEqual({
      layers: [0, 1],
      experts: ['embedding', 'reranking'],
      groups: { embedding: 2, reranking: 1 },
      mass: {
        embedding: [
          [1, 0],
          [1, 0],
        ],
        reranking: [
          [0, 1],
          [0, 1],
        ],
      },
      active: { embedding: [1, 1], reranking: [1, 1] },
    });
    recorder.reset();
    expect(recorder.summary().mass).toEqual({ embedding: null, reranking: null });
  });

  it('counts a decision for all tokens once per sequence', () => {
    const config: MoeLoraConfig = {
      ...moePreset('proposal', { target: 'all', rank: 2 }),
      router: {
        name: 'pipeline',
        options: { granularity: 'layer', scorer: { kind: 'bias' }, map: { kind: 'softmax' } },
      },
    };
    const { list, batch } = routings(config, ['embedding', 'embedding', 'embedding']);
    const recorder = new RoutingRecorder(['a', 'b', 'c']);
    recorder.add(list, batch);
    const { groups, mass } = recorder.summary();
    expect(groups).toEqual({ embedding: 3, reranking: 0 });
    expect(mass.embedding![0]).toEqual(Array.from(list[0]!.gates.toArray()));
    expect(mass.reranking).toBeNull();
  });
});
