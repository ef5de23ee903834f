import { readFileSync } from 'node:fs';
import { studentT } from '@unimoer/eval-beir';
import { describe, expect, it } from 'vitest';
import {
  AnalysisError,
  benjaminiHochberg,
  crossedPower,
  crossedTest,
  decideVerdict,
  designError,
  designsForPower,
  type Estimate,
  holm,
  meanEstimate,
  minimumDetectable,
  noncentralTCdf,
  nonInferiority,
  pairedTPower,
  queryTest,
  relativeContributions,
  relativeDrop,
  type SeedQueryMatrix,
  seedsForPower,
  seedTest,
  tost,
  tTest,
  unpairedRelativeDrop,
} from '../src/index.js';

const fixture = JSON.parse(
  readFileSync(new URL('../../../fixtures/analysis.json', import.meta.url), 'utf8'),
);

describe('distributions equal scipy', () => {
  it('Student t tails and quantiles, also at fractional df', () => {
    for (const { t, df, sf } of fixture.studentT) expect(studentT.cdf(-t, df)).toBeCloseTo(sf, 11);
    for (const { p, df, t } of fixture.studentTQuantile) {
      expect(Math.abs(studentT.quantile(p, df) - t)).toBeLessThan(1e-9 * (1 + Math.abs(t)));
    }
  });
  it('noncentral t', () => {
    for (const { t, df, delta, cdf } of fixture.noncentralT) {
      expect(noncentralTCdf(t, df, delta)).toBeCloseTo(cdf, 10);
    }
  });
});

// Published worked examples of the statistics reference (oracles A and B).
const A: SeedQueryMatrix = [
  [0.03, 0.01, 0.05, -0.02],
  [0.02, 0, 0.06, 0],
  [0.05, 0.02, 0.04, -0.01],
];
const B: SeedQueryMatrix = [
  [0.03, 0.01, 0.05, -0.02],
  [0.055, 0.035, 0.06, 0.01],
  [0, -0.01, 0.03, -0.045],
];

describe('crossed seeds × queries test', () => {
  it('oracle A: the floor applies in the variance and in the df', () => {
    const r = crossedTest(A);
    expect(r.mean).toBeCloseTo(0.0208333, 7);
    expect(r.meanSquares.seed).toBeCloseTo(5.8333e-5, 9);
    expect(r.meanSquares.query).toBeCloseTo(2.075e-3, 12);
    expect(r.meanSquares.residual).toBeCloseTo(1.58333e-4, 9);
    expect(r.floored).toBe(true);
    expect(r.se).toBeCloseTo(0.0131498, 7);
    expect(r.df).toBeCloseTo(2.98776, 5);
    expect(r.t).toBeCloseTo(1.584311, 6);
    expect(r.p).toBeCloseTo(0.21166, 5);
    expect(r.rawComponents.seed).toBeLessThan(0);
    expect(r.components.seed).toBe(0);
  });
  it('oracle B: no floor', () => {
    const r = crossedTest(B);
    expect(r.floored).toBe(false);
    expect(r.se).toBeCloseTo(0.0191168, 7);
    expect(r.df).toBeCloseTo(4.77193, 5);
    expect(r.t).toBeCloseTo(0.89363, 6);
    expect(r.p).toBeCloseTo(0.414312, 6);
    expect(r.ci95.lo).toBeCloseTo(-0.032773, 6);
    expect(r.ci95.hi).toBeCloseTo(0.066939, 6);
  });
  it('equals an independent implementation on a drawn matrix', () => {
    const { data, expected } = fixture.crossed;
    const r = crossedTest(data);
    for (const key of ['mean', 'se', 'df', 't', 'p'] as const) {
      expect(r[key]).toBeCloseTo(expected[key], 10);
    }
  });
  it('identical arms give p 1 and a zero interval, a constant shift p 0', () => {
    const zero = crossedTest([
      [0, 0, 0],
      [0, 0, 0],
    ]);
    expect([zero.p, zero.ci95.lo, zero.ci95.hi]).toEqual([1, 0, 0]);
    expect(
      crossedTest([
        [0.5, 0.5],
        [0.5, 0.5],
      ]).p,
    ).toBe(0);
  });
  it('refuses one seed, ragged rows and missing values', () => {
    expect(() => crossedTest([[1, 2]])).toThrow(AnalysisError);
    expect(() => crossedTest([[1, 2], [1]])).toThrow(/seed row 1/);
    expect(() =>
      crossedTest([
        [1, Number.NaN],
        [1, 2],
      ]),
    ).toThrow(/query column 1/);
  });
  it('secondary tests are t tests of the margins', () => {
    expect(seedTest(B).p).toBeCloseTo(tTest(meanEstimate([0.0175, 0.04, -0.00625])).p, 12);
    expect(queryTest(A).df).toBe(3);
  });
});

const A8 = [0.62, 0.48, 0.71, 0.55, 0.8, 0.33, 0.59, 0.67];
const B8 = [0.6, 0.45, 0.72, 0.5, 0.76, 0.35, 0.55, 0.61];
const difference = meanEstimate(A8.map((v, i) => v - B8[i]!));

describe('t, equivalence, non-inferiority', () => {
  it('paired t of the reference', () => {
    const r = tTest(difference);
    expect(r.t).toBeCloseTo(2.627935, 6);
    expect(r.p).toBeCloseTo(0.0340146, 7);
    expect(r.ci95.lo).toBeCloseTo(0.00263, 6);
    expect(r.ci95.hi).toBeCloseTo(0.04987, 6);
  });
  it('TOST of the reference and of the pingouin documentation', () => {
    expect(tost(difference, -0.05, 0.05).p).toBeCloseTo(0.024525, 6);
    expect(tost(difference, -0.04, 0.04).p).toBeCloseTo(0.105535, 6);
    expect(tost(difference, -0.04, 0.04).ci90.lo).toBeCloseTo(0.007325, 6);
    expect(tost(difference, -0.04, 0.04).ci90.hi).toBeCloseTo(0.045175, 6);
    const x = [4, 7, 8, 6, 3, 2];
    const y = [6, 8, 7, 10, 11, 9];
    const paired = meanEstimate(x.map((v, i) => v - y[i]!));
    expect(tost(paired, -0.5, 0.5).p).toBeCloseTo(0.954854, 6);
    const [mx, my] = [meanEstimate(x), meanEstimate(y)];
    const independent = { mean: mx.mean - my.mean, se: Math.hypot(mx.se, my.se), df: 10 };
    expect(tost(independent, -1, 1).p).toBeCloseTo(0.965097, 6);
    expect(tost(mx, -4, 4).p).toBeCloseTo(0.825967, 6);
  });
  it('non-inferiority is the upper half of TOST', () => {
    expect(nonInferiority(difference, 0.05).p).toBeCloseTo(
      tost(difference, -0.05, 0.05).upperP,
      12,
    );
    expect(nonInferiority(difference, 0.05).upper95).toBeCloseTo(0.045175, 6);
    const sure = { mean: 0.005, se: 0, df: 3 };
    expect([nonInferiority(sure, 0.01).p, nonInferiority(sure, 0.001).p]).toEqual([0, 1]);
  });
});

describe('multiplicity', () => {
  it('Holm and BH of the reference', () => {
    expect(holm([0.01, 0.04, 0.03, 0.005])).toEqual([0.03, 0.06, 0.06, 0.02]);
    expect(holm([0.011, 0.012, 0.2, 0.9])).toEqual([0.044, 0.044, 0.4, 0.9]);
    const bh = benjaminiHochberg([0.01, 0.04, 0.03, 0.005]);
    for (const [i, v] of [0.02, 0.04, 0.04, 0.02].entries()) expect(bh[i]).toBeCloseTo(v, 12);
    expect(holm([0.9, 0.8])).toEqual([1, 1]);
  });
});

describe('relative drop', () => {
  const YS = [
    [0.6, 0.4, 0.8],
    [0.62, 0.44, 0.78],
  ];
  const YJ = [
    [0.57, 0.41, 0.77],
    [0.6, 0.4, 0.77],
  ];
  it('linearisation of the reference', () => {
    const r = relativeContributions(YS, YJ);
    expect(r.theta * 100).toBeCloseTo(3.296703, 6);
    expect(r.contributions[0]![0]).toBeCloseTo(0.0498128, 7);
    const psi = r.contributions.flat().reduce((s, v) => s + v - r.theta, 0);
    expect(psi).toBeCloseTo(0, 12);
  });
  it('equals an independent implementation on drawn scores', () => {
    const { dedicated, joint, theta, expected } = fixture.relative;
    const r = relativeDrop(dedicated, joint);
    expect(r.theta).toBeCloseTo(theta, 12);
    expect(r.test.mean).toBeCloseTo(theta, 12);
    for (const key of ['se', 'df', 'p'] as const) {
      expect(r.test[key]).toBeCloseTo(expected[key], 10);
    }
  });
  it('refuses shapes that do not pair and a zero dedicated mean', () => {
    expect(() => relativeDrop(YS, [[0.1, 0.2, 0.3]])).toThrow(/two matrices of one shape/);
    expect(() =>
      relativeDrop(
        [
          [0, 0],
          [0, 0],
        ],
        [
          [0, 1],
          [0, 1],
        ],
      ),
    ).toThrow(/mean above 0/);
  });
  it('unpaired: a single fixed run leaves the seed variance of the other arm', () => {
    const r = unpairedRelativeDrop(YS, [YJ[0]!]);
    expect(r.theta).toBeCloseTo(1 - 1.75 / (3.64 / 2), 12);
    expect(r.test.se).toBeGreaterThan(0);
    expect(() => unpairedRelativeDrop([YS[0]!], [YJ[0]!])).toThrow(/two seeds/);
  });
  it('unpaired type-I error: the simulation of the maker script holds the nominal 5 %', () => {
    for (const { rate } of fixture.unpairedTypeOne) {
      expect(rate).toBeGreaterThan(0.03);
      expect(rate).toBeLessThan(0.07);
    }
  });
  it('unpaired, without seed effects, is the paired query t test', () => {
    const q = [0.1, 0.5, 0.4, 0.9, 0.3];
    const j = [0.2, 0.4, 0.35, 0.8, 0.3];
    const r = unpairedRelativeDrop([q, q], [j, j]);
    const contributions = relativeContributions([q], [j]).contributions[0]!;
    expect(r.test.se).toBeCloseTo(meanEstimate(contributions).se, 12);
    expect(r.test.p).toBeCloseTo(tTest(meanEstimate(contributions)).p, 12);
  });
});

describe('power', () => {
  it('paired t of the reference', () => {
    expect(pairedTPower(0.5, 33)).toBeCloseTo(0.795366, 6);
    expect(pairedTPower(0.5, 34)).toBeCloseTo(0.807778, 6);
    expect(pairedTPower(0.2, 198)).toBeCloseTo(0.799698, 6);
    expect(pairedTPower(0.2, 199)).toBeCloseTo(0.801691, 6);
    expect(pairedTPower(0.8, 15)).toBeCloseTo(0.821311, 6);
  });
  it('detectable effects of the reference table', () => {
    const rows: [number, number, number, Record<number, Record<number, number>>][] = [
      [0.004, 0.08, 0.08, { 5: { 43: 0.039, 300: 0.0153, 6980: 0.0069 }, 8: { 1000: 0.0086 } }],
      [
        0.006,
        0.1,
        0.1,
        { 3: { 43: 0.054, 6980: 0.0172 }, 5: { 300: 0.0197 }, 12: { 6980: 0.0062 } },
      ],
      [0.01, 0.12, 0.12, { 5: { 97: 0.04, 1000: 0.0189 }, 8: { 6980: 0.012 } }],
    ];
    for (const [sa, sb, se, table] of rows) {
      const components = { seed: sa ** 2, query: sb ** 2, residual: se ** 2 };
      for (const [s, byQueries] of Object.entries(table)) {
        for (const [q, value] of Object.entries(byQueries)) {
          const printed = value >= 0.026 ? 5e-4 : 5e-5;
          const found = minimumDetectable(components, Number(s), Number(q));
          expect(Math.abs(found - value)).toBeLessThanOrEqual(printed * 1.001);
        }
      }
    }
  });
  it('power of the crossed test equals the noncentral t of scipy', () => {
    const [seed, query, residual] = fixture.components;
    for (const { seeds, queries, effect, power } of fixture.power) {
      expect(crossedPower({ seed, query, residual }, seeds, queries, effect)).toBeCloseTo(power, 8);
    }
  });
  it('suggested designs detect the effect, and one query fewer does not', () => {
    const components = { seed: 0.006 ** 2, query: 0.01, residual: 0.01 };
    const designs = designsForPower(components, 0.015);
    expect(designs.length).toBeGreaterThan(1);
    for (const { seeds, queries } of designs) {
      expect(minimumDetectable(components, seeds, queries)).toBeLessThanOrEqual(0.015);
      expect(minimumDetectable(components, seeds, queries - 1)).toBeGreaterThan(0.015);
    }
    const seeds = seedsForPower(components, 0.0197, 300)!;
    expect(minimumDetectable(components, seeds, 300)).toBeLessThanOrEqual(0.0197);
    expect(minimumDetectable(components, seeds - 1, 300)).toBeGreaterThan(0.0197);
    expect(seedsForPower(components, 0.001, 300)).toBeNull();
    expect(designsForPower(components, 1e-6)).toEqual([]);
    expect(() => designError(components, 1, 300)).toThrow(AnalysisError);
  });
});

describe('verdict table', () => {
  const at = (mean: number, lo: number, df = 1e9): Estimate => ({
    mean,
    se: (mean - lo) / studentT.quantile(0.975, df),
    df,
  });
  const verdict = (mean: number, lo: number, seeds = 5) =>
    decideVerdict(at(mean, lo), { seeds }).verdict;
  it('has every row, synergy first', () => {
    expect(verdict(0.03, 0.021)).toBe('confirmed');
    expect(verdict(0.03, 0.005)).toBe('significant');
    expect(verdict(0.005, 0.002)).toBe('negligible');
    expect(verdict(0.012, 0.002)).toBe('small');
    expect(verdict(0.001, -0.006)).toBe('noInterference');
    expect(verdict(-0.02, -0.03)).toBe('synergy');
    expect(verdict(-0.002, -0.0035)).toBe('synergy');
    expect(verdict(0.01, -0.02)).toBe('inconclusive');
    expect(verdict(-0.01, -0.04)).toBe('inconclusive');
    expect(verdict(-0.02, -0.042)).toBe('noInterference');
  });
  it('is exploratory below five seeds and carries the bounds', () => {
    const r = decideVerdict(at(0.03, 0.005), { seeds: 3 });
    expect(r.exploratory).toBe(true);
    expect(r.ci95.lo).toBeCloseTo(0.005, 9);
    expect(decideVerdict(at(0.03, 0.005), { seeds: 5 }).exploratory).toBe(false);
  });
});
