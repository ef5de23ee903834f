import type { Block, Section, TableBlock } from '../blocks.js';
import { routingMap } from '../figures.js';
import { armOfRole, type RankedComparison, type ReportModel } from '../model.js';
import type { RoutingSummary } from '../routing.js';
import {
  ENDPOINT_NAMES,
  intervalWords,
  percent,
  placeName,
  plainPercent,
  pValue,
  score,
} from '../words.js';

/** Does routing undo it: every arm against dedicated and rank-matched joint, then what the router does. */
export function routingSection(model: ReportModel): Section {
  const blocks: Block[] = [{ type: 'list', items: routedSentences(model) }];
  if (model.againstDedicated.length > 0) {
    blocks.push(
      comparisonTable(
        model,
        model.againstDedicated,
        'against-dedicated',
        'Every arm against the arm trained for that endpoint alone (θ > 0: worse than dedicated). q is Benjamini–Hochberg over all exploratory comparisons of this report; the joint arm is the primary comparison and stands outside it.',
      ),
    );
  }
  const matched = armOfRole(model.results, 'jointRankMatched');
  if (matched !== undefined && model.againstRankMatched.length > 0) {
    blocks.push(
      comparisonTable(
        model,
        model.againstRankMatched,
        'against-rank-matched',
        `Every arm against “${matched.label}”, one LoRA with the total rank of the routed arm’s experts: what remains is the routing, not the size (θ > 0: worse than rank-matched joint).`,
      ),
    );
  }
  if (model.routing.length === 0) {
    blocks.push({ type: 'paragraph', text: 'No arm of this study recorded gates.' });
  }
  if (model.routing.length > 0) {
    blocks.push({
      type: 'paragraph',
      text: 'What the router does. The two tasks read different texts (single queries and documents against query–document pairs), so part of the mutual information can come from the form of the text rather than from the task: read it as how far the router tells the two inputs apart, not as proof of specialisation.',
    });
  }
  model.routing.forEach((summary, i) => {
    blocks.push({ type: 'figure', figure: routingMap(model, summary, i) });
    blocks.push(routingTable(model, summary, i));
  });
  return { id: 'routing', title: 'Does routing undo it?', blocks };
}

function routedSentences(model: ReportModel): string[] {
  const { results } = model;
  const routed = results.arms.filter((a) => a.role === 'moe' || a.role === 'hardSwitch');
  const matched = armOfRole(results, 'jointRankMatched');
  const items = routed.flatMap((arm) =>
    model.againstDedicated
      .filter((c) => c.arm === arm.arm && c.theta !== null)
      .map((c) => {
        const where = `${ENDPOINT_NAMES[c.endpoint]} on ${placeName(results, c)}`;
        if (c.identical) {
          return `${where}: “${arm.label}” equals the dedicated arm query by query.`;
        }
        const other = model.againstRankMatched.find(
          (r) => r.arm === arm.arm && r.endpoint === c.endpoint && samePlace(r, c),
        );
        const against =
          other?.theta == null || matched === undefined
            ? ''
            : `; against “${matched.label}” θ ${percent(other.theta)} ${intervalWords(other.ci95)}`;
        return `${where}: “${arm.label}” against dedicated θ ${percent(c.theta!)} ${intervalWords(c.ci95)}${against}. ${reading(c, results.delta)}`;
      }),
  );
  return items.length > 0 ? items : ['This study has no routed arm.'];
}

/** What the 95 % interval of a routed arm's θ against the dedicated arm, beside the margin `delta`, lets one say. */
export function reading(
  c: Pick<RankedComparison, 'ci95' | 'minimumDetectable'>,
  delta: number,
): string {
  if (c.ci95 === null) return 'One seed: no interval.';
  const [lo, hi] = c.ci95;
  if (lo > 0) return 'It stays behind the dedicated arm.';
  if (hi < 0) return 'It is ahead of the dedicated arm.';
  if (hi < delta) {
    return `A drop of ${plainPercent(delta)} or more against the dedicated arm is ruled out.`;
  }
  return `Undecided: a drop under ${percent(c.minimumDetectable ?? 0, 1, false)} would not have been seen.`;
}

function comparisonTable(
  model: ReportModel,
  comparisons: readonly RankedComparison[],
  name: string,
  caption: string,
): TableBlock {
  const breaks: number[] = [];
  comparisons.forEach((c, i) => {
    const before = comparisons[i - 1];
    if (before !== undefined && !(before.endpoint === c.endpoint && samePlace(before, c))) {
      breaks.push(i);
    }
  });
  return {
    type: 'table',
    name,
    caption,
    columns: [
      { label: 'Endpoint' },
      { label: 'Dataset' },
      { label: 'Arm' },
      { label: 'reference', align: 'right' },
      { label: 'arm', align: 'right' },
      { label: 'θ', align: 'right' },
      { label: '95 % CI (%)', align: 'right' },
      { label: 'p', align: 'right' },
      { label: 'q', align: 'right' },
      { label: 'MDE', align: 'right' },
    ],
    breaks,
    rows: comparisons.map((c) => [
      ENDPOINT_NAMES[c.endpoint],
      placeName(model.results, c),
      model.results.arms.find((a) => a.arm === c.arm)?.label ?? c.arm,
      score(c.referenceMean),
      score(c.armMean),
      c.theta === null ? '—' : percent(c.theta, 2),
      c.identical ? 'identical' : intervalWords(c.ci95, 2),
      c.identical ? '—' : pValue(c.p),
      pValue(c.q),
      c.identical || c.minimumDetectable === null ? '—' : percent(c.minimumDetectable, 1, false),
    ]),
  };
}

function routingTable(model: ReportModel, summary: RoutingSummary, index: number): TableBlock {
  const label = model.results.arms.find((a) => a.arm === summary.arm)?.label ?? summary.arm;
  const decimals = (v: number) => v.toFixed(3);
  return {
    type: 'table',
    name: `routing-${index + 1}`,
    caption: `Routing of “${label}” per layer: mutual information between task and expert as a share of the task's entropy (gate mass; in brackets each seed), the same for the largest gate (Miller–Madow corrected), total variation between the tasks' gate masses, mean active experts, and load balance over both tasks (population CV, largest load over the mean).`,
    columns: [
      { label: 'Layer', align: 'right' },
      { label: 'MI share', align: 'right' },
      { label: 'MI, largest gate', align: 'right' },
      { label: 'TV', align: 'right' },
      { label: 'active (emb.)', align: 'right' },
      { label: 'active (rer.)', align: 'right' },
      { label: 'load CV', align: 'right' },
      { label: 'MaxVio', align: 'right' },
    ],
    rows: summary.layers.map((l) => [
      String(l.layer),
      `${decimals(l.information.normalised)} (${l.seedInformation.map((v) => v.toFixed(2)).join(', ')})`,
      l.argmaxInformation === null ? '—' : decimals(l.argmaxInformation),
      decimals(l.totalVariation),
      l.activeExperts.embedding.toFixed(2),
      l.activeExperts.reranking.toFixed(2),
      decimals(l.balance.cv),
      decimals(l.balance.maxViolation),
    ]),
  };
}

function samePlace(
  a: { dataset: string; backbone: string },
  b: { dataset: string; backbone: string },
): boolean {
  return a.dataset === b.dataset && a.backbone === b.backbone;
}
