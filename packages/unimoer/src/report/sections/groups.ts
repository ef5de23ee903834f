import type { Block, Section } from '../blocks.js';
import { armValues } from '../figures.js';
import { dedicatedArm, type GroupValue, type ReportModel } from '../model.js';
import { baselineMean, GROUPS, type Place, places } from '../scores.js';
import { ENDPOINT_NAMES, metricName, placeName, score } from '../words.js';

/** Values per arm for all, seen and unseen queries: where a gain sits decides what it is worth. */
export function groupsSection(model: ReportModel): Section {
  const { results } = model;
  const rules = results.datasets.map((d) => {
    const groups = Object.values(d.groups);
    const seen = groups.filter((g) => g === 'seen').length;
    return `${d.label}: ${seen} of ${groups.length} test queries count as seen (${d.groupRule}).`;
  });
  const blocks: Block[] = [
    {
      type: 'paragraph',
      text: `A test query whose gold documents were training positives can be answered by remembering them. Every endpoint is therefore given for all queries and for both groups. ${rules.join(' ')}`,
    },
    ...gainSentences(model),
    ...armValues(model).map((figure): Block => ({ type: 'figure', figure })),
    ...places(results).map((place, i) => valueTable(model, place, i)),
  ];
  return { id: 'groups', title: 'Every arm, on seen and unseen documents', blocks };
}

/** What dedicated training gained over the untrained model, or over a baseline where that model was not evaluated. */
function gainSentences(model: ReportModel): Block[] {
  const { results } = model;
  const zero = results.arms.find((a) => a.role === 'zeroShot');
  const items = places(results).flatMap((place) => {
    const own = dedicatedArm(results, place.endpoint);
    if (own === undefined) return [];
    const baseline = results.baselines.find(
      (b) => b.endpoint === place.endpoint && b.dataset === place.dataset,
    );
    const untrained = zero !== undefined && meansOf(model, zero.arm, place, 'all') !== undefined;
    const before = (group: GroupValue['group']): number | null => {
      if (untrained) return mean(meansOf(model, zero.arm, place, group));
      if (baseline === undefined) return null;
      return baselineMean(results, baseline.name, place.endpoint, place.dataset, group);
    };
    const gain = (group: GroupValue['group']): string => {
      const from = before(group);
      const to = mean(meansOf(model, own.arm, place, group));
      return from === null || to === null ? '—' : signed(to - from);
    };
    const reference = untrained ? `“${zero.label}”` : baseline?.label;
    if (reference === undefined || gain('all') === '—') return [];
    const metric = metricName(metricOf(model, place));
    return [
      `${ENDPOINT_NAMES[place.endpoint]} on ${placeName(results, place)}: “${own.label}” stands in ${metric} against ${reference} at **${gain('all')}** over all queries, ${gain('seen')} on seen and ${gain('unseen')} on unseen ones.`,
    ];
  });
  return items.length === 0 ? [] : [{ type: 'list', items }];
}

function valueTable(model: ReportModel, place: Place, index: number): Block {
  const { results } = model;
  const sizes = GROUPS.map(
    (g) => model.values.find((v) => same(v, place) && v.group === g)?.queries ?? 0,
  );
  const shown = GROUPS.filter((_, i) => sizes[i]! > 0);
  const armRows = results.arms.flatMap((arm) => {
    const cells = shown.map((g) => meansOf(model, arm.arm, place, g));
    if (cells.every((c) => c === undefined)) return [];
    return [[arm.label, ...cells.map((c) => (c === undefined ? '—' : withSpread(c)))]];
  });
  const baselineRows = results.baselines
    .filter((b) => b.dataset === place.dataset && b.endpoint === place.endpoint)
    .map((b) => [
      b.label,
      ...shown.map((g) => score(baselineMean(results, b.name, b.endpoint, b.dataset, g))),
    ]);
  const words = { all: 'All', seen: 'Seen', unseen: 'Unseen' };
  return {
    type: 'table',
    name: `values-${index + 1}`,
    caption: `${ENDPOINT_NAMES[place.endpoint]} on ${placeName(results, place)}: mean ${metricName(metricOf(model, place))} over seeds, ± sample standard deviation of the seed means.`,
    columns: [
      { label: 'Arm' },
      ...shown.map((g) => ({
        label: `${words[g]} (${sizes[GROUPS.indexOf(g)]})`,
        align: 'right' as const,
      })),
    ],
    rows: [...armRows, ...baselineRows],
    breaks: baselineRows.length > 0 ? [armRows.length] : [],
  };
}

function metricOf(model: ReportModel, place: Place): string {
  const dataset = model.results.datasets.find((d) => d.dataset === place.dataset);
  return dataset?.endpoints[place.endpoint]?.primaryMetric ?? '';
}

function meansOf(
  model: ReportModel,
  arm: string,
  place: Place,
  group: GroupValue['group'],
): number[] | undefined {
  return model.values.find((v) => v.arm === arm && same(v, place) && v.group === group)?.means;
}

function same(a: Place, b: Place): boolean {
  return a.endpoint === b.endpoint && a.dataset === b.dataset && a.backbone === b.backbone;
}

const average = (v: readonly number[]) => v.reduce((s, x) => s + x, 0) / v.length;

const mean = (v: readonly number[] | undefined) => (v === undefined ? null : average(v));

function withSpread(means: readonly number[]): string {
  if (means.length < 2) return score(means[0]!);
  const m = average(means);
  const sd = Math.sqrt(means.reduce((s, v) => s + (v - m) ** 2, 0) / (means.length - 1));
  return `${score(m)} ± ${score(sd)}`;
}

function signed(v: number): string {
  return `${v < 0 ? '−' : '+'}${Math.abs(v).toFixed(4)}`;
}
