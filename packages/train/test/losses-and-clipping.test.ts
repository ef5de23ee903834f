import { backward, type Parameter, scope, softmax, sum, type Task, tensor } from '@unimoer/core';
import type { ExpertConfig, Routing } from '@unimoer/moe-lora';
import { afterAll, describe, expect, it } from 'vitest';
import { clipGradients } from '../src/gradients';
import { RouterLosses } from '../src/router-losses';
import { trainRun } from '../src/index';
import { tinyModel, toyConfig, toyDeps } from './toy';

const experts: ExpertConfig[] = [
  { name: 'embedding', task: 'embedding', rank: 1 },
  { name: 'reranking', task: 'reranking', rank: 1 },
];

function routing(logits: number[][], task: Task, layer = 0): Routing {
  const z = tensor(logits.flat(), [logits.length, 2], { requiresGrad: true });
  const probabilities = softmax(z);
  return {
    layer,
    gates: probabilities,
    rowToGate: tensor(new Int32Array(1), [1], { dtype: 'i32' }),
    logits: z,
    probabilities,
    sparsity: null,
    groupTasks: logits.map(() => task),
  };
}

describe('RouterLosses', () => {
  it('rises over the warm-up, then holds or falls', () => {
    const hold = new RouterLosses({ balance: 1, warmupFraction: 0.2 }, experts, 10);
    expect([0, 1, 2, 9].map((step) => hold.factor(step))).toEqual([0.5, 1, 1, 1]);
    const fall = new RouterLosses({ balance: 1, warmupFraction: 0.2, anneal: true }, experts, 10);
    expect([0, 1, 2, 6, 10].map((step) => fall.factor(step))).toEqual([0.5, 1, 1, 0.5, 0]);
  });

  it('balances over both tasks of a step: opposite tasks cancel', () => {
    scope(() => {
      const losses = new RouterLosses({ balance: 1, warmupFraction: 0 }, experts, 1);
      const opposite = [[routing([[2, 0]], 'embedding')], [routing([[0, 2]], 'reranking')]];
      expect(losses.compute(opposite, 0)!.item()).toBeCloseTo(1, 6);
    });
  });

  it('balances a one-task step against the other task of the step before', () => {
    scope(() => {
      const one = (task: Task, logits: number[]) => [[routing([logits], task)]];
      // Hard gates: f and P are then equal and N Σ f P is 2 for one expert, 1 for both alike.
      const far = 100;
      const losses = new RouterLosses({ balance: 1, warmupFraction: 0 }, experts, 4);
      expect(losses.compute(one('embedding', [far, -far]), 0)!.item()).toBeCloseTo(2, 5);
      const state = JSON.parse(JSON.stringify(losses.state()));
      const second = losses.compute(one('reranking', [-far, far]), 1)!.item();
      expect(second).toBeCloseTo(1, 5);
      const resumed = new RouterLosses({ balance: 1, warmupFraction: 0 }, experts, 4);
      resumed.restore(state);
      expect(resumed.compute(one('reranking', [-far, far]), 1)!.item()).toBe(second);
    });
  });

  it('counts a network-wide decision once and averages over layers', () => {
    scope(() => {
      const config = { zLoss: 0.5, warmupFraction: 0 };
      const first = routing([[0, 0]], 'embedding');
      const tied = { ...first, layer: 1 };
      const expected = 0.5 * Math.log(2) ** 2;
      const losses = new RouterLosses(config, experts, 1);
      expect(losses.compute([[first, tied]], 0)!.item()).toBeCloseTo(expected, 6);
      const other = routing([[0, 0]], 'embedding', 1);
      expect(losses.compute([[first, other]], 0)!.item()).toBeCloseTo(expected, 6);
    });
  });

  it('prefers the own expert under a negative δ', () => {
    scope(() => {
      const config = { taskBalance: { coefficient: 1, delta: -0.5 }, warmupFraction: 0 };
      const losses = new RouterLosses(config, experts, 1);
      const log3 = Math.log(3);
      // At the minimum the own expert has three times the other's mass.
      const best = [[routing([[log3, 0]], 'embedding')], [routing([[0, log3]], 'reranking')]];
      expect(losses.compute(best, 0)!.item()).toBeCloseTo(0, 6);
      const even = routing([[0, 0]], 'embedding');
      const other = routing([[0, 0]], 'reranking');
      const loss = losses.compute([[even], [other]], 0)!;
      expect(loss.item()).toBeGreaterThan(0.1);
      backward(loss);
      const [own, foreign] = even.logits!.grad!.toArray();
      expect(own!).toBeLessThan(0);
      expect(foreign!).toBeGreaterThan(0);
    });
  });

  it('is nothing without coefficients', () => {
    const losses = new RouterLosses({}, experts, 1);
    expect(losses.compute([[routing([[1, 0]], 'embedding')]], 0)).toBeNull();
  });
});

describe('clipGradients', () => {
  const parameters = (): (Parameter & { task: Task | 'shared' })[] =>
    (['embedding', 'reranking', 'shared'] as const).map((task, i) => {
      const t = tensor([0], [1], { requiresGrad: true, name: task });
      backward(sum(t), undefined);
      t.grad!.set([[3, 4, 12][i]!]);
      return { name: task, tensor: t, task };
    });
  const grads = (list: readonly Parameter[]) => list.map((p) => p.tensor.grad!.item());

  it('clips all together', () => {
    const list = parameters();
    expect(clipGradients(list, { clip: 1.3, clipScope: 'global' })).toBeCloseTo(13, 5);
    [0.3, 0.4, 1.2].forEach((g, i) => {
      expect(grads(list)[i]).toBeCloseTo(g, 5);
    });
  });

  it('clips each task apart', () => {
    const list = parameters();
    expect(clipGradients(list, { clip: 3.5, clipScope: 'perTask' })).toBeCloseTo(13, 5);
    [3, 3.5, 3.5].forEach((g, i) => {
      expect(grads(list)[i]).toBeCloseTo(g, 5);
    });
  });

  it('only measures without a limit', () => {
    const list = parameters();
    expect(clipGradients(list, { clip: null, clipScope: 'global' })).toBeCloseTo(13, 5);
    expect(grads(list)).toEqual([3, 4, 12]);
  });
});

describe('options', () => {
  const model = tinyModel();
  afterAll(() => model.dispose());

  it('group loss and loss weights', async () => {
    const config = toyConfig('rerankOnly', { steps: 1 });
    const grouped = { ...config, reranking: { ...config.reranking, loss: 'group' as const } };
    const first = await trainRun(grouped, toyDeps(model));
    first.model!.dispose();
    const doubled = { ...grouped, reranking: { ...grouped.reranking, weight: 2 } };
    const second = await trainRun(doubled, toyDeps(model));
    second.model!.dispose();
    const [a, b] = [first.summary.curve[0]!, second.summary.curve[0]!];
    expect(b.rerankingLoss).toBe(a.rerankingLoss);
    expect(b.gradNorm / a.gradNorm).toBeCloseTo(2, 4);
  });

  it.each([
    [{ steps: 0 }, /steps: got 0/],
    [{ negativeRanks: [5, 5] as const }, /negativeRanks\[1\]: got 5/],
    [{ checkpointEvery: -1 }, /checkpointEvery/],
  ])('refuses %o', async (changes, message) => {
    await expect(trainRun(toyConfig('joint', changes), toyDeps(model))).rejects.toThrow(message);
  });

  it('stops at a loss that is not finite and leaves the backbone bare', async () => {
    const config = toyConfig('embedOnly', { steps: 20 });
    const wild = { ...config, optimizer: { ...config.optimizer, lr: 1e30, clip: null } };
    await expect(trainRun(wild, toyDeps(model))).rejects.toThrow(/expected a finite number/);
    expect(model.backbone.linears().every((linear) => linear.adapter === null)).toBe(true);
  });
});
