import {
  type CrossedTest,
  checkMatrix,
  crossedTest,
  type Estimate,
  meanSquares,
  type SeedQueryMatrix,
  type TTest,
  tTest,
} from './crossed.js';
import { AnalysisError } from './errors.js';

export interface RelativeDrop {
  /** θ = (dedicated − joint)/dedicated on grand means; above 0 is harm. */
  readonly theta: number;
  readonly dedicatedMean: number;
  readonly jointMean: number;
}

export interface PairedRelativeDrop extends RelativeDrop {
  /** Linearised contributions θ + ψ_sq; their grand mean is θ. */
  readonly contributions: number[][];
  /** Crossed test of the contributions: θ with its interval and variance components, all on the θ scale. */
  readonly test: CrossedTest;
}

export interface UnpairedRelativeDrop extends RelativeDrop {
  readonly test: TTest;
}

/**
 * Linearised contributions to the relative drop: with R = ȳ_J/ȳ_S, ψ_sq = (y^S_sq R − y^J_sq)/ȳ_S sums to 0, and θ + ψ_sq
 * carries θ's sampling error. Ratios of single queries are never formed (many scores are 0).
 */
export function relativeContributions(
  dedicated: SeedQueryMatrix,
  joint: SeedQueryMatrix,
): RelativeDrop & { contributions: number[][] } {
  checkMatrix(dedicated, 1);
  checkMatrix(joint, 1);
  if (dedicated.length !== joint.length || dedicated[0]!.length !== joint[0]!.length) {
    throw new AnalysisError({
      where: 'relativeContributions',
      got: `${dedicated.length} × ${dedicated[0]!.length} and ${joint.length} × ${joint[0]!.length}`,
      expected: 'two matrices of one shape',
      remedy: 'pair seeds and queries, or use unpairedRelativeDrop',
    });
  }
  const drop = relativeDropOfMeans(meanSquares(dedicated).grand, meanSquares(joint).grand);
  const ratio = 1 - drop.theta;
  const contributions = dedicated.map((row, i) =>
    row.map((y, j) => drop.theta + (y * ratio - joint[i]![j]!) / drop.dedicatedMean),
  );
  return { ...drop, contributions };
}

/** θ for arms whose seeds pair (same initialisation and data order), with the crossed test. Needs 2 seeds, 2 queries. */
export function relativeDrop(
  dedicated: SeedQueryMatrix,
  joint: SeedQueryMatrix,
): PairedRelativeDrop {
  const linear = relativeContributions(dedicated, joint);
  return { ...linear, test: crossedTest(linear.contributions) };
}

/**
 * θ for arms whose seeds do not pair. Queries still cross (both arms answered the same ones), seeds are nested in arms:
 * Var(θ̂) = MS_Q(ψ)/Q + Σ_arm (MS_S − MS_E)/(S_arm Q), floored at the larger of the query part and the seed part, with
 * Satterthwaite's degrees of freedom over the independent mean squares. A single fixed run (the zero-shot model, S = 1)
 * adds no seed variance.
 */
export function unpairedRelativeDrop(
  dedicated: SeedQueryMatrix,
  joint: SeedQueryMatrix,
): UnpairedRelativeDrop {
  checkMatrix(dedicated, 1, 2);
  checkMatrix(joint, 1, 2);
  const q = dedicated[0]!.length;
  if (joint[0]!.length !== q || (dedicated.length < 2 && joint.length < 2)) {
    throw new AnalysisError({
      where: 'unpairedRelativeDrop',
      got: `${dedicated.length} × ${q} and ${joint.length} × ${joint[0]!.length}`,
      expected: 'the same queries, and two seeds in at least one arm',
      remedy: 'run more seeds or align the queries',
    });
  }
  const a = meanSquares(dedicated);
  const b = meanSquares(joint);
  const drop = relativeDropOfMeans(a.grand, b.grand);
  const scaleA = (1 - drop.theta) / drop.dedicatedMean;
  const scaleB = 1 / drop.dedicatedMean;
  let ss = 0;
  for (let j = 0; j < q; j++) {
    ss += (a.queryMeans[j]! * scaleA - b.queryMeans[j]! * scaleB) ** 2;
  }
  const queryPart = ss / (q - 1) / q;
  const arms = [
    { ms: a, scale: scaleA, seeds: dedicated.length },
    { ms: b, scale: scaleB, seeds: joint.length },
  ].filter((arm) => arm.seeds > 1);
  let seedPart = 0;
  let residualPart = 0;
  let denominator = queryPart ** 2 / (q - 1);
  for (const { ms, scale, seeds } of arms) {
    const fromSeeds = (ms.seed * scale ** 2) / (seeds * q);
    const fromResidual = (ms.residual * scale ** 2) / (seeds * q);
    seedPart += fromSeeds;
    residualPart += fromResidual;
    denominator += fromSeeds ** 2 / (seeds - 1);
    denominator += fromResidual ** 2 / ((seeds - 1) * (q - 1));
  }
  const variance = Math.max(queryPart + seedPart - residualPart, queryPart, seedPart);
  const estimate: Estimate = {
    mean: drop.theta,
    se: Math.sqrt(variance),
    df: denominator > 0 ? variance ** 2 / denominator : q - 1,
  };
  return { ...drop, test: tTest(estimate) };
}

function relativeDropOfMeans(dedicatedMean: number, jointMean: number): RelativeDrop {
  if (!(dedicatedMean > 0)) {
    throw new AnalysisError({
      where: 'relative drop',
      got: `a dedicated mean of ${dedicatedMean}`,
      expected: 'a mean above 0',
      remedy: 'compare absolute differences instead',
    });
  }
  return { theta: (dedicatedMean - jointMean) / dedicatedMean, dedicatedMean, jointMean };
}
