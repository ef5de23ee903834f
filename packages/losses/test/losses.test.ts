import { readFileSync } from 'node:fs';
import {
  backward,
  FrozenWeight,
  getBackend,
  logSoftmax,
  matmul,
  scope,
  softmax,
  type Tensor,
  tensor,
} from '@unimoer/core';
import { describe, expect, it } from 'vitest';
import {
  answerCrossEntropy,
  binaryCrossEntropy,
  falseNegativeMask,
  groupCrossEntropy,
  infoNce,
  listwiseCrossEntropy,
  loadBalance,
  localizedBalance,
  routedFractions,
  routerZLoss,
  taskImportance,
  yesNoCrossEntropy,
} from '../src/index';

interface WithGrad {
  loss: number;
  grad: number[];
}
interface InfoNceCase {
  loss: number;
  queryGrad: number[];
  documentGrad: number[];
}
interface Fixture {
  queries: number[];
  documents: number[];
  infoNce005: InfoNceCase;
  infoNce1: InfoNceCase;
  infoNceMasked: InfoNceCase & { removed: number[][] };
  bce: WithGrad & { scores: number[]; labels: number[] };
  group: WithGrad & { scores: number[]; targets: number[] };
  listwise: WithGrad & { scores: number[]; weights: number[] };
  yesNo: WithGrad & { logits: number[]; labels: number[] };
  routing: {
    logits: number[];
    importance: number[];
    fractions: number[];
    loadBalance: WithGrad;
    localizedBalance: WithGrad;
    zLoss: WithGrad;
  };
}

const fixture = JSON.parse(
  readFileSync(new URL('../../../fixtures/losses.json', import.meta.url), 'utf8'),
) as Fixture;
const backend = getBackend('reference');

function param(values: readonly number[], shape: number[]): Tensor {
  return tensor(values, shape, { backend, requiresGrad: true });
}
function constant(values: ArrayLike<number>, shape: number[]): Tensor {
  return tensor(values, shape, { backend });
}
function ints(values: readonly number[]): Tensor {
  return tensor(values, [values.length], { backend, dtype: 'i32' });
}
function near(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-5): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const bound = tolerance * Math.max(1, Math.abs(expected[i]!));
    expect(Math.abs(actual[i]! - expected[i]!), `element ${i}`).toBeLessThan(bound);
  }
}
function check(input: Tensor, loss: Tensor, expected: WithGrad): void {
  expect(loss.shape).toEqual([]);
  near([loss.item()], [expected.loss]);
  backward(loss);
  near(input.grad!.toArray(), expected.grad);
}

describe('contrastive losses', () => {
  const cases: [string, number, InfoNceCase, number[][]][] = [
    ['τ 0.05', 0.05, fixture.infoNce005, []],
    ['τ 1', 1, fixture.infoNce1, []],
    ['a false-negative mask', 0.05, fixture.infoNceMasked, fixture.infoNceMasked.removed],
  ];
  it.each(cases)('infoNce equals PyTorch with %s', (_name, temperature, expected, removed) => {
    scope(() => {
      const queries = param(fixture.queries, [3, 4]);
      const documents = param(fixture.documents, [6, 4]);
      const mask = new Float32Array(18);
      for (const [row, column] of removed) mask[row! * 6 + column!] = -1e30;
      const loss = infoNce(queries, documents, ints([0, 1, 2]), {
        temperature,
        mask: removed.length > 0 ? constant(mask, [3, 6]) : undefined,
      });
      near([loss.item()], [expected.loss]);
      backward(loss);
      near(queries.grad!.toArray(), expected.queryGrad);
      near(documents.grad!.toArray(), expected.documentGrad);
    });
  });

  // Published with the loss catalogue the project was given: in-batch positives and all hard negatives.
  it('infoNce reproduces the catalogue values', () => {
    scope(() => {
      const queries = constant(fixture.queries, [3, 4]);
      const documents = constant(fixture.documents, [6, 4]);
      const targets = ints([0, 1, 2]);
      near([infoNce(queries, documents, targets, { temperature: 0.05 }).item()], [2.6050983907]);
      near([infoNce(queries, documents, targets, { temperature: 1 }).item()], [1.4580515935]);
    });
  });

  it('infoNce is ln m when all candidates are alike', () => {
    scope(() => {
      const same = constant([1, 0, 1, 0, 1, 0], [3, 2]);
      const loss = infoNce(same, same, ints([0, 1, 2]), { temperature: 0.05 });
      near([loss.item()], [Math.log(3)]);
    });
  });

  it('infoNce refuses a temperature of zero', () => {
    const x = constant([1, 0], [1, 2]);
    expect(() => infoNce(x, x, ints([0]), { temperature: 0 })).toThrow(/temperature.*above 0/);
  });

  it('the mask removes other positives and copies of the target', () => {
    const mask = falseNegativeMask(
      ['a', 'b', 'a', 'c'],
      [0, 1],
      [new Set(['a', 'c']), new Set(['b'])],
    );
    expect(Array.from(mask.toArray(), (v) => v < 0)).toEqual([
      ...[false, false, true, true],
      ...[false, false, false, false],
    ]);
    expect(() => falseNegativeMask(['a'], [0], [])).toThrow(/1 targets and 0 sets/);
  });
});

describe('ranking losses', () => {
  it('binaryCrossEntropy equals PyTorch and stays finite', () => {
    scope(() => {
      const { scores, labels } = fixture.bce;
      const s = param(scores, [5]);
      check(s, binaryCrossEntropy(s, constant(labels, [5])), fixture.bce);
      near([fixture.bce.loss], [0.534007041]);
      const far = binaryCrossEntropy(constant([1000, -1000], [2]), constant([0, 1], [2]));
      near([far.item()], [1000]);
    });
  });

  it('groupCrossEntropy equals PyTorch', () => {
    scope(() => {
      const s = param(fixture.group.scores, [3, 4]);
      check(s, groupCrossEntropy(s, ints(fixture.group.targets), 0.5), fixture.group);
      const published = constant([2, 1, 0.5, -0.3, 1.5], [1, 5]);
      near([groupCrossEntropy(published, ints([0])).item()], [0.8319517538]);
      near([groupCrossEntropy(published, ints([0]), 0.5).item()], [0.4466413621]);
      expect(() => groupCrossEntropy(published, ints([0]), -1)).toThrow(/above 0/);
    });
  });

  it('listwiseCrossEntropy equals PyTorch and the published multi-positive value', () => {
    scope(() => {
      const s = param(fixture.listwise.scores, [3, 4]);
      check(
        s,
        listwiseCrossEntropy(s, constant(fixture.listwise.weights, [3, 4])),
        fixture.listwise,
      );
      const published = constant([2, 1, 0.5, -0.3, 1.5], [1, 5]);
      const third = constant([1 / 3, 0, 1 / 3, 0, 1 / 3], [1, 5]);
      near([listwiseCrossEntropy(published, third).item()], [1.4986184205]);
      const listNet = softmax(constant([3, 0, 1, 0, 2], [1, 5]));
      near([listwiseCrossEntropy(published, listNet).item()], [1.1758772604]);
    });
  });

  it('yesNoCrossEntropy equals PyTorch and the published pair', () => {
    scope(() => {
      const logits = param(fixture.yesNo.logits, [2, 2]);
      check(logits, yesNoCrossEntropy(logits, ints(fixture.yesNo.labels)), fixture.yesNo);
      const pair = constant([-0.5, 1.25], [1, 2]);
      near([yesNoCrossEntropy(pair, ints([1])).item()], [0.1602241504]);
    });
  });

  it('answerCrossEntropy is the two-way loss minus the log of both answers’ probability', () => {
    scope(() => {
      const [no, yes, V, d] = [3, 8, 11, 4];
      const wave = (n: number, step: number) =>
        Array.from({ length: n }, (_, i) => Math.sin(step * i));
      const table = constant(wave(V * d, 1.7), [V, d]);
      const weight = FrozenWeight.pack(table, [V, d], { dtype: 'f32' });
      const states = param(wave(2 * d, 0.6), [2, d]);
      const loss = answerCrossEntropy(states, weight, ints([yes, no]));
      const logits = matmul(states, table, { transposeB: true }).toArray();
      const pick = [no, yes, V + no, V + yes].map((i) => logits[i]!);
      const twoWay = yesNoCrossEntropy(constant(pick, [2, 2]), ints([1, 0])).item();
      const p = logSoftmax(constant(logits, [2, V]))
        .toArray()
        .map(Math.exp);
      const both = [p[no]! + p[yes]!, p[V + no]! + p[V + yes]!];
      near([loss.item()], [twoWay - (Math.log(both[0]!) + Math.log(both[1]!)) / 2]);
      weight.dispose();
    });
  });
});

describe('routing losses', () => {
  const { routing } = fixture;

  it('loadBalance, localizedBalance and routerZLoss equal PyTorch', () => {
    scope(() => {
      const a = param(routing.logits, [6, 3]);
      check(a, loadBalance(softmax(a), routing.fractions), routing.loadBalance);
      const b = param(routing.logits, [6, 3]);
      const importance = constant(routing.importance, [6, 3]);
      check(b, localizedBalance(softmax(b), importance), routing.localizedBalance);
      const c = param(routing.logits, [6, 3]);
      check(c, routerZLoss(c), routing.zLoss);
    });
  });

  it('loadBalance has floor 1 at uniform routing and N at collapse', () => {
    scope(() => {
      const uniform = constant(new Array(8).fill(0.25), [2, 4]);
      near([loadBalance(uniform, routedFractions(uniform)).item()], [1]);
      const collapsed = constant([0, 1, 0, 0, 0, 1, 0, 0], [2, 4]);
      near([loadBalance(collapsed, routedFractions(collapsed)).item()], [4]);
    });
  });

  it('routedFractions counts active experts', () => {
    const gates = constant([0.5, 0.5, 0, 1, 0, 0], [2, 3]);
    near(routedFractions(gates), [2 / 3, 1 / 3, 0]);
  });

  it('localizedBalance is 0 where mass is inverse to importance', () => {
    scope(() => {
      // δ = −0.5: the group's own expert gets importance 0.5 and, at the minimum, three times the mass.
      const importance = taskImportance(
        ['embedding', 'reranking'],
        ['embedding', 'reranking'],
        -0.5,
      );
      expect([...importance]).toEqual([0.5, 1.5, 1.5, 0.5]);
      const mass = constant([0.75, 0.25, 0.25, 0.75], [2, 2]);
      near([localizedBalance(mass, constant(importance, [2, 2])).item()], [0]);
      const even = constant([0.5, 0.5, 0.5, 0.5], [2, 2]);
      expect(localizedBalance(even, constant(importance, [2, 2])).item()).toBeGreaterThan(0.1);
    });
    expect([...taskImportance(['embedding'], ['shared'], 0.3)]).toEqual([1]);
  });

  it('names shapes that do not fit', () => {
    const vector = constant([1, 2], [2]);
    expect(() => routerZLoss(vector)).toThrow(/routerZLoss.*\[2\].*groups, experts/);
    expect(() => loadBalance(constant([1, 0], [1, 2]), [1])).toThrow(/1 fractions for 2 experts/);
    expect(() => localizedBalance(constant([1], [1, 1]), vector)).toThrow(/at least two/);
  });
});
