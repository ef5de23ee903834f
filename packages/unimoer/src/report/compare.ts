import {
  type Estimate,
  minimumDetectable,
  minimumDetectableOf,
  queryTest,
  relativeContributions,
  relativeDrop,
  seedTest,
  unpairedRelativeDrop,
  type VarianceComponents,
} from '@unimoer/analysis';
import { randomizationTest } from '@unimoer/eval-beir';
import { alignedScores, type GroupName, type Place, type Scores } from './scores.js';
import type { StudyResults } from './types.js';

/** One arm against a reference arm in one place, over one group of queries. Effects are relative drops: > 0 is harm. */
export interface ArmComparison extends Place {
  group: GroupName;
  reference: string;
  arm: string;
  seeds: number;
  queries: number;
  referenceMean: number;
  armMean: number;
  /** Null when the reference's mean is 0. */
  theta: number | null;
  /** One linearised value per seed (paired) or per seed of the arm (unpaired). */
  seedThetas: number[];
  /** Null with one seed: new seeds cannot be spoken for. */
  estimate: Estimate | null;
  ci95: [number, number] | null;
  p: number | null;
  /** Variance components on the θ scale; null for unpaired seeds. */
  components: { raw: VarianceComponents; used: VarianceComponents; floored: boolean } | null;
  minimumDetectable: number | null;
  /** True when all scores are equal, as for arms put together from each other. */
  identical: boolean;
  paired: boolean;
  /** Null unless asked for. */
  secondary: SecondaryTests | null;
}

/** Printed beside the primary test, never used for the verdict; null where seeds do not pair or are too few. */
export interface SecondaryTests {
  seedT: number | null;
  queryT: number | null;
  randomization: number | null;
}

export interface ComparisonRequest extends Place {
  reference: string;
  arm: string;
  group?: GroupName;
  /** Also runs the secondary tests (100,000 sign flips). */
  secondary?: boolean;
}

/** Compares two arms; null when one of them was not evaluated there or no query is left in the group. */
export function compareArms(
  results: StudyResults,
  request: ComparisonRequest,
): ArmComparison | null {
  const { endpoint, dataset, backbone, reference, arm, group = 'all' } = request;
  const aligned = alignedScores(results, [reference, arm], request, group);
  if (aligned === null) return null;
  const paired = results.pairedSeeds && aligned.every((s) => s.seeds[0] !== null);
  const [ref, own] = paired ? commonSeeds(aligned[0]!, aligned[1]!) : [aligned[0]!, aligned[1]!];
  if (ref.values.length === 0) return null;
  const base = {
    endpoint,
    dataset,
    backbone,
    group,
    reference,
    arm,
    paired,
    seeds: paired ? ref.values.length : Math.max(ref.values.length, own.values.length),
    queries: ref.queries.length,
    referenceMean: grandMean(ref.values),
    armMean: grandMean(own.values),
    identical: paired && ref.values.every((row, i) => row.every((v, j) => v === own.values[i]![j])),
  };
  if (!(base.referenceMean > 0)) return { ...base, ...NOT_ESTIMABLE, secondary: null };
  const effect = paired ? pairedEffect(ref, own) : unpairedEffect(ref, own);
  const secondary = request.secondary ? secondaryTests(paired, ref, own) : null;
  return { ...base, ...effect, secondary };
}

type Effect = Pick<
  ArmComparison,
  'theta' | 'seedThetas' | 'estimate' | 'ci95' | 'p' | 'components' | 'minimumDetectable'
>;

const NO_ESTIMATE = {
  estimate: null,
  ci95: null,
  p: null,
  components: null,
  minimumDetectable: null,
};
const NOT_ESTIMABLE: Effect = { theta: null, seedThetas: [], ...NO_ESTIMATE };

function pairedEffect(ref: Scores, own: Scores): Effect {
  const linear = relativeContributions(ref.values, own.values);
  const shared = { theta: linear.theta, seedThetas: linear.contributions.map(average) };
  if (ref.values.length < 2 || ref.queries.length < 2) return { ...shared, ...NO_ESTIMATE };
  const { test } = relativeDrop(ref.values, own.values);
  return {
    ...shared,
    estimate: { mean: test.mean, se: test.se, df: test.df },
    ci95: [test.ci95.lo, test.ci95.hi],
    p: test.p,
    components: { raw: test.rawComponents, used: test.components, floored: test.floored },
    minimumDetectable: minimumDetectable(test.components, test.seeds, test.queries),
  };
}

function secondaryTests(paired: boolean, ref: Scores, own: Scores): SecondaryTests {
  if (!paired) return { seedT: null, queryT: null, randomization: null };
  const differences = ref.values.map((row, i) => row.map((v, j) => v - own.values[i]![j]!));
  const byQuery = ref.queries.map((_, j) => average(differences.map((row) => row[j]!)));
  return {
    seedT: differences.length > 1 ? seedTest(differences).p : null,
    queryT: byQuery.length > 1 ? queryTest(differences).p : null,
    randomization: randomizationTest(byQuery),
  };
}

function unpairedEffect(ref: Scores, own: Scores): Effect {
  const mean = grandMean(ref.values);
  const theta = (mean - grandMean(own.values)) / mean;
  const seedThetas = own.values.map((row) => (mean - average(row)) / mean);
  const shared = { theta, seedThetas };
  if (Math.max(ref.values.length, own.values.length) < 2 || ref.queries.length < 2) {
    return { ...shared, ...NO_ESTIMATE };
  }
  const { test } = unpairedRelativeDrop(ref.values, own.values);
  return {
    ...shared,
    estimate: { mean: test.mean, se: test.se, df: test.df },
    ci95: [test.ci95.lo, test.ci95.hi],
    p: test.p,
    components: null,
    minimumDetectable: minimumDetectableOf(test),
  };
}

function commonSeeds(a: Scores, b: Scores): [Scores, Scores] {
  const shared = a.seeds.filter((s) => b.seeds.includes(s));
  const pick = (scores: Scores): Scores => ({
    seeds: shared,
    queries: scores.queries,
    values: shared.map((s) => scores.values[scores.seeds.indexOf(s)]!),
  });
  return [pick(a), pick(b)];
}

function average(values: readonly number[]): number {
  return values.reduce((s, v) => s + v, 0) / values.length;
}

function grandMean(values: readonly (readonly number[])[]): number {
  return average(values.map(average));
}
