import { describe, expect, it } from 'vitest';
import {
  AnalysisError,
  entropy,
  equalTaskWeight,
  jensenShannon,
  loadBalance,
  meanActiveExperts,
  summariseLayer,
  taskExpertInformation,
  totalVariation,
} from '../src/index.js';

// Tasks × experts table of the reference (fixture N).
const N = [
  [30, 10, 10, 0],
  [5, 5, 10, 30],
];

describe('routing metrics of the reference', () => {
  it('mutual information with Miller–Madow', () => {
    const r = taskExpertInformation(N, { counts: true });
    expect(r.mutualInformation).toBeCloseTo(0.3155, 6);
    expect(r.taskEntropy).toBeCloseTo(Math.LN2, 12);
    expect(r.normalised).toBeCloseTo(0.45517, 6);
    expect(r.expertEntropy).toBeCloseTo(1.335085, 6);
    expect(r.millerMadowBias).toBeCloseTo(0.01, 12);
    expect(r.corrected).toBeCloseTo(0.3055, 6);
    expect(taskExpertInformation(N).corrected).toBeNull();
  });
  it('divergences', () => {
    expect(jensenShannon(N[0]!, N[1]!)).toBeCloseTo(0.3155, 6);
    expect(totalVariation(N[0]!, N[1]!)).toBeCloseTo(0.6, 12);
    expect(taskExpertInformation(equalTaskWeight(N)).mutualInformation).toBeCloseTo(0.3155, 6);
    expect(jensenShannon([1, 0], [0, 1])).toBeCloseTo(Math.LN2, 12);
    expect(jensenShannon([2, 1], [4, 2])).toBe(0);
  });
  it('load balance', () => {
    const r = loadBalance([35, 15, 20, 30]);
    expect(r.cv).toBeCloseTo(0.316228, 6);
    expect(r.gini).toBeCloseTo(0.175, 12);
    expect(r.normalisedEntropy).toBeCloseTo(0.96306, 6);
    expect(r.maxViolation).toBeCloseTo(0.4, 12);
  });
  it('entropies', () => {
    expect(entropy(N[0]!)).toBeCloseTo(0.950271, 6);
    expect(entropy(N[1]!)).toBeCloseTo(1.0889, 6);
    expect(entropy([0, 0])).toBe(0);
  });
  it('mean active experts counts gates above the threshold', () => {
    expect(meanActiveExperts([0.7, 0.3, 0, 1, 0, 0], 3)).toBe(1.5);
    expect(() => meanActiveExperts([1, 2, 3], 2)).toThrow(AnalysisError);
  });
  it('a layer summary weighs tasks equally', () => {
    const small = summariseLayer(2, N);
    const big = summariseLayer(2, [N[0]!, N[1]!.map((v) => v * 1000)]);
    expect(big.information.mutualInformation).toBeCloseTo(small.information.mutualInformation, 12);
    expect(small.balance.cv).toBeCloseTo(0.316228, 6);
    expect(() =>
      summariseLayer(0, [
        [0, 0],
        [1, 1],
      ]),
    ).toThrow(/never routed/);
  });
});
