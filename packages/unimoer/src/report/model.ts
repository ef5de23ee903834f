import {
  benjaminiHochberg,
  CLAIM_SEEDS,
  decideVerdict,
  type DesignSuggestion,
  designsForPower,
  holm,
  type Verdict,
} from '@unimoer/analysis';
import { type ArmComparison, compareArms } from './compare.js';
import { type RoutingSummary, summariseRouting } from './routing.js';
import { type GroupName, GROUPS, type Place, places, seedMeans } from './scores.js';
import type { ArmInfo, Endpoint, StudyResults } from './types.js';

export interface VerdictRow extends Place {
  verdict: Verdict;
  comparison: ArmComparison;
  /** The same comparison over seen and unseen queries, where such queries exist. */
  groups: ArmComparison[];
  pHolm: number | null;
  /** One-sided 95 % upper bound of the drop and the p values of the equivalence side; null with one seed. */
  upper95: number | null;
  nonInferiorityP: number | null;
  equivalenceP: number | null;
  exploratory: boolean;
  /** Designs that would find a drop of 2 δ with 80 % power. */
  designs: DesignSuggestion[];
}

export interface RankedComparison extends ArmComparison {
  /** Benjamini–Hochberg over all exploratory comparisons of the report. */
  q: number | null;
}

/** Primary metric of an arm in one place and query group. */
export interface GroupValue extends Place {
  arm: string;
  group: GroupName;
  queries: number;
  seeds: (number | null)[];
  means: number[];
}

/** All numbers of the report; everything that is printed or drawn comes from here. */
export interface ReportModel {
  results: StudyResults;
  exploratory: boolean;
  verdicts: VerdictRow[];
  /** Places without a verdict, and what is missing. */
  missing: (Place & { reason: string })[];
  againstDedicated: RankedComparison[];
  againstRankMatched: RankedComparison[];
  values: GroupValue[];
  routing: RoutingSummary[];
}

/** Arm trained on this endpoint alone. */
export function dedicatedArm(results: StudyResults, endpoint: Endpoint): ArmInfo | undefined {
  return results.arms.find(
    (a) => a.role === 'dedicated' && a.tasks.length === 1 && a.tasks[0] === endpoint,
  );
}

export function armOfRole(results: StudyResults, role: ArmInfo['role']): ArmInfo | undefined {
  return results.arms.find((a) => a.role === role);
}

/** Computes verdicts, comparisons, group values and routing summaries. Pure and deterministic. */
export function buildModel(results: StudyResults): ReportModel {
  const all = places(results);
  const { verdicts, missing } = buildVerdicts(results, all);
  const joint = armOfRole(results, 'joint');
  const matched = armOfRole(results, 'jointRankMatched');
  const dedicated: ArmComparison[] = [];
  const rankMatched: ArmComparison[] = [];
  for (const place of all) {
    const own = dedicatedArm(results, place.endpoint);
    for (const arm of results.arms) {
      if (own !== undefined && arm.arm !== own.arm) {
        push(dedicated, compareArms(results, { ...place, reference: own.arm, arm: arm.arm }));
      }
      if (matched !== undefined && arm.arm !== matched.arm) {
        push(rankMatched, compareArms(results, { ...place, reference: matched.arm, arm: arm.arm }));
      }
    }
  }
  // The joint arm's own comparison with the dedicated arm is the primary family, not part of the exploratory one.
  const primary = (c: ArmComparison) => dedicated.includes(c) && c.arm === joint?.arm;
  const q = adjusted([...dedicated, ...rankMatched].filter((c) => !primary(c)));
  return {
    results,
    exploratory:
      verdicts.length === 0
        ? results.seeds.length < CLAIM_SEEDS
        : verdicts.some((v) => v.exploratory),
    verdicts,
    missing,
    againstDedicated: dedicated.map((c) => ({ ...c, q: q.get(c) ?? null })),
    againstRankMatched: rankMatched.map((c) => ({ ...c, q: q.get(c) ?? null })),
    values: groupValues(results, all),
    routing: summariseRouting(results),
  };
}

function buildVerdicts(
  results: StudyResults,
  all: readonly Place[],
): Pick<ReportModel, 'verdicts' | 'missing'> {
  const rows: VerdictRow[] = [];
  const missing: ReportModel['missing'] = [];
  const joint = armOfRole(results, 'joint');
  for (const place of all) {
    const own = dedicatedArm(results, place.endpoint);
    if (own === undefined || joint === undefined) {
      const what = own === undefined ? `dedicated ${place.endpoint}` : 'joint';
      missing.push({ ...place, reason: `the study has no ${what} arm` });
      continue;
    }
    const request = { ...place, reference: own.arm, arm: joint.arm, secondary: true };
    const comparison = compareArms(results, request);
    if (comparison === null || comparison.theta === null) {
      missing.push({
        ...place,
        reason:
          comparison === null
            ? 'no seed has both the dedicated and the joint arm evaluated'
            : 'the dedicated arm scores 0 on every query',
      });
      continue;
    }
    rows.push(verdictRow(results, place, comparison));
  }
  const family = rows.filter((r) => r.comparison.p !== null);
  const adjustedP = holm(family.map((r) => r.comparison.p!));
  family.forEach((row, i) => {
    row.pHolm = adjustedP[i]!;
  });
  return { verdicts: rows, missing };
}

function verdictRow(results: StudyResults, place: Place, comparison: ArmComparison): VerdictRow {
  const { estimate, seeds, components } = comparison;
  const groups = GROUPS.filter((g) => g !== 'all').flatMap((group) => {
    const c = compareArms(results, {
      ...place,
      reference: comparison.reference,
      arm: comparison.arm,
      group,
    });
    return c === null ? [] : [c];
  });
  const shared = { ...place, comparison, groups, pHolm: null };
  if (estimate === null) {
    return {
      ...shared,
      verdict: 'inconclusive',
      upper95: null,
      nonInferiorityP: null,
      equivalenceP: null,
      exploratory: true,
      designs: [],
    };
  }
  const decision = decideVerdict(estimate, { delta: results.delta, seeds });
  return {
    ...shared,
    verdict: decision.verdict,
    upper95: decision.upper95,
    nonInferiorityP: decision.nonInferiorityP,
    equivalenceP: decision.equivalenceP,
    exploratory: decision.exploratory,
    designs: components === null ? [] : designsForPower(components.used, 2 * results.delta),
  };
}

function groupValues(results: StudyResults, all: readonly Place[]): GroupValue[] {
  return all.flatMap((place) =>
    results.arms.flatMap(({ arm }) =>
      GROUPS.flatMap((group) => {
        const v = seedMeans(results, arm, place, group);
        return v === null ? [] : [{ ...place, arm, group, ...v }];
      }),
    ),
  );
}

function adjusted(comparisons: readonly ArmComparison[]): Map<ArmComparison, number> {
  const tested = comparisons.filter((c) => c.p !== null && !c.identical);
  const q = benjaminiHochberg(tested.map((c) => c.p!));
  return new Map(tested.map((c, i) => [c, q[i]!]));
}

function push<T>(list: T[], item: T | null): void {
  if (item !== null) list.push(item);
}
