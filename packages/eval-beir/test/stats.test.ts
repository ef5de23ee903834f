import {
  benjaminiHochberg,
  compareRuns,
  evaluate,
  holm,
  incompleteBeta,
  logGamma,
  normal,
  pairedT,
  type Qrels,
  randomizationTest,
  type Run,
  studentT,
  wilcoxon,
} from '@unimoer/eval-beir';
import { describe, expect, it } from 'vitest';
import { fixture } from './helpers.js';

interface Case {
  name: string;
  differences: number[];
  mean: number;
  tTest: number;
  ci95: [number, number];
  wilcoxon: number;
  randomization?: number;
}
type Table = number[][];
const scipy = fixture<{ cases: Case[] } & Record<string, Table>>('paired-tests.json');

function expectRelative(got: number, wanted: number, tolerance: number, what: string): void {
  expect(
    Math.abs(got - wanted) <= tolerance * Math.max(Math.abs(wanted), 1e-300),
    `${what}: ${got}, scipy ${wanted}`,
  ).toBe(true);
}

describe('distributions equal scipy', () => {
  it('Student t', () => {
    for (const [t, df, p] of scipy.studentCdf!)
      expectRelative(studentT.cdf(t!, df!), p!, 1e-11, `cdf(${t}, ${df})`);
    for (const [p, df, t] of scipy.studentQuantile!) {
      expectRelative(studentT.quantile(p!, df!), t!, 1e-9, `quantile(${p}, ${df})`);
    }
  });

  it('normal', () => {
    for (const [z, p] of scipy.normalCdf!) expectRelative(normal.cdf(z!), p!, 1e-12, `cdf(${z})`);
    for (const [p, z] of scipy.normalQuantile!)
      expectRelative(normal.quantile(p!), z!, 1e-11, `quantile(${p})`);
  });

  it('incomplete beta and log gamma', () => {
    for (const [x, a, b, p] of scipy.incompleteBeta!) {
      const got = incompleteBeta(x!, a!, b!);
      expect(Math.abs(got - p!), `I_${x}(${a}, ${b})`).toBeLessThan(1e-11);
    }
    for (const [x, value] of scipy.logGamma!) {
      expect(Math.abs(logGamma(x!) - value!)).toBeLessThan(1e-13 * (1 + Math.abs(value!)));
    }
  });
});

describe('paired tests equal scipy', () => {
  it.each(scipy.cases)('$name', (row) => {
    const t = pairedT(row.differences);
    expect(t.mean).toBeCloseTo(row.mean, 14);
    expectRelative(t.p!, row.tTest, 1e-9, 't test');
    expect(t.ci95![0]).toBeCloseTo(row.ci95[0], 11);
    expect(t.ci95![1]).toBeCloseTo(row.ci95[1], 11);
    expectRelative(wilcoxon(row.differences), row.wilcoxon, 1e-9, 'wilcoxon');
    if (row.randomization !== undefined) {
      expectRelative(randomizationTest(row.differences), row.randomization, 1e-12, 'randomization');
    }
  });
});

describe('limits', () => {
  it('all differences 0: every p is 1', () => {
    const zeros = new Array<number>(30).fill(0);
    expect(pairedT(zeros)).toEqual({ mean: 0, p: 1, ci95: [0, 0] });
    expect([randomizationTest(zeros), wilcoxon(zeros)]).toEqual([1, 1]);
  });

  it('equal differences: t test 0', () => {
    expect(pairedT([0.5 - 0.4, 0.6 - 0.5, 0.3 - 0.2]).p).toBe(0);
    expect(randomizationTest([0.1, 0.1, 0.1])).toBe(0.25);
  });

  it('one difference: no t test', () => {
    expect(pairedT([0.3])).toEqual({ mean: 0.3, p: null, ci95: null });
    expect([randomizationTest([0.3]), wilcoxon([0.3])]).toEqual([1, 1]);
  });

  it('sampled randomisation agrees with the t test, follows its seed and is never 0', () => {
    const noise = scipy.cases.find(({ name }) => name === 'plain 300')!.differences;
    const p = randomizationTest(noise, { seed: 1 });
    expect(Math.abs(p - pairedT(noise).p!)).toBeLessThan(0.005);
    expect(randomizationTest(noise, { seed: 1 })).toBe(p);
    expect(randomizationTest(noise, { seed: 2 })).not.toBe(p);
    expect(randomizationTest(new Array<number>(100).fill(0.2), { flips: 99 })).toBe(0.01);
  });

  it('exact and sampled randomisation agree', () => {
    const many = scipy.cases.find(({ name }) => name === 'plain 30')!.differences;
    const exact = randomizationTest(many.slice(0, 20));
    const padded = [...many.slice(0, 20), 0];
    expect(Math.abs(randomizationTest(padded) - exact)).toBeLessThan(0.006);
  });
});

describe('multiple comparisons', () => {
  it('Holm takes the running maximum', () => {
    expect(holm([0.001, 0.01, 0.04, 0.2, 0.5])).toEqual([0.005, 0.04, 0.12, 0.4, 0.5]);
    expect(holm([0.03, 0.02, 0.025])).toEqual([0.06, 0.06, 0.06]);
  });

  it('Benjamini and Hochberg', () => {
    const adjusted = benjaminiHochberg([0.5, 0.01, 0.04, 0.2, 0.001]);
    [0.5, 0.025, 0.2 / 3, 0.25, 0.005].forEach((p, i) => {
      expect(adjusted[i]).toBeCloseTo(p, 14);
    });
  });
});

describe('compareRuns', () => {
  const qrels: Qrels = new Map(['1', '2', '3', '4'].map((q) => [q, new Map([['r', 1]])]));
  const ranks = (places: Record<string, number>): Run =>
    new Map(
      Object.entries(places).map(([query, place]) => [
        query,
        Array.from({ length: place }, (_, i) => ({
          id: i === place - 1 ? 'r' : `x${i}`,
          score: -i,
        })),
      ]),
    );
  const evaluated = (name: string, run: Run, complete = false) => ({
    name,
    evaluation: evaluate(qrels, run, { metrics: ['mrr'], complete }),
    queries: run,
  });

  it('is over the queries that both runs and the qrels hold', () => {
    const a = ranks({ 1: 1, 2: 2, 3: 1 });
    const b = ranks({ 1: 2, 2: 2, 4: 1 });
    for (const complete of [false, true]) {
      const [row] = compareRuns(evaluated('a', a, complete), evaluated('b', b, complete));
      expect(row).toMatchObject({ metric: 'mrr', a: 'a', b: 'b', delta: 0.25 });
    }
  });

  it('refuses runs without a query in common', () => {
    expect(() =>
      compareRuns(evaluated('a', ranks({ 1: 1 })), evaluated('b', ranks({ 2: 1 }))),
    ).toThrow(/no judged query that a holds too/);
  });
});
