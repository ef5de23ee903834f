import { minimumDetectable } from '@unimoer/analysis';
import type { Block, Section } from '../blocks.js';
import { places, seedMeans } from '../scores.js';
import type { ReportModel } from '../model.js';
import { designWords, ENDPOINT_NAMES, metricName, percent, placeName, score } from '../words.js';

const SEEDS = [2, 3, 5, 8];

/** What the study could have seen, from its own variance components. */
export function powerSection(model: ReportModel): Section {
  const rows = model.verdicts.filter((v) => v.comparison.components !== null);
  const blocks: Block[] = [
    {
      type: 'paragraph',
      text: 'The smallest relative drop that would be found at two-sided 5 % with 80 % power, from the variance of this very comparison. With few seeds the seed component is itself a rough estimate: read the table as an order of magnitude. The figure describes the design; the interval of one sample can be narrower or wider.',
    },
  ];
  if (rows.length === 0) {
    blocks.push({
      type: 'note',
      tone: 'warning',
      text: 'Variance over seeds needs at least two paired seeds; this study has none to estimate it from.',
    });
    return { id: 'power', title: 'What this study could have seen', blocks };
  }
  blocks.push({
    type: 'table',
    name: 'power',
    caption:
      'Minimum detectable relative drop by number of seeds on the queries of this study, with the variance components of θ (seed, query, residual, as standard deviations in % of the dedicated score; a negative estimate counts as 0 and is marked *).',
    columns: [
      { label: 'Endpoint' },
      { label: 'Dataset' },
      { label: 'σ seed', align: 'right' },
      { label: 'σ query', align: 'right' },
      { label: 'σ residual', align: 'right' },
      ...SEEDS.map((s) => ({ label: `${s} seeds`, align: 'right' as const })),
    ],
    rows: rows.map((v) => {
      const { used, raw } = v.comparison.components!;
      const sigma = (key: 'seed' | 'query' | 'residual') =>
        `${percent(Math.sqrt(used[key]), 1, false)}${raw[key] < 0 ? ' *' : ''}`;
      return [
        ENDPOINT_NAMES[v.endpoint],
        placeName(model.results, v),
        sigma('seed'),
        sigma('query'),
        sigma('residual'),
        ...SEEDS.map((s) => percent(minimumDetectable(used, s, v.comparison.queries), 1, false)),
      ];
    }),
  });
  blocks.push({
    type: 'list',
    items: rows.map((v) => {
      const mde = v.comparison.minimumDetectable!;
      const points = score(mde * v.comparison.referenceMean);
      return `${ENDPOINT_NAMES[v.endpoint]} on ${placeName(model.results, v)}: ${percent(mde, 1, false)} of the dedicated score is ${points} in the metric itself. ${designWords(model, v)}`;
    }),
  });
  return { id: 'power', title: 'What this study could have seen', blocks };
}

/** Every seed of every arm. */
export function seedsSection(model: ReportModel): Section {
  const { results } = model;
  const blocks = places(results).map((place, i): Block => {
    const metric =
      results.datasets.find((d) => d.dataset === place.dataset)?.endpoints[place.endpoint]
        ?.primaryMetric ?? '';
    const rows = results.arms.flatMap((arm) => {
      const v = seedMeans(results, arm.arm, place);
      if (v === null) return [];
      const single = v.seeds[0] === null;
      return [
        [
          arm.label,
          ...results.seeds.map((seed) => {
            const at = v.seeds.indexOf(seed);
            return single ? score(v.means[0]!) : at < 0 ? '—' : score(v.means[at]!);
          }),
        ],
      ];
    });
    return {
      type: 'table',
      name: `seeds-${i + 1}`,
      caption: `${ENDPOINT_NAMES[place.endpoint]} on ${placeName(results, place)}: mean ${metricName(metric)} of every seed; an arm without training has one value.`,
      columns: [
        { label: 'Arm' },
        ...results.seeds.map((s) => ({ label: `seed ${s}`, align: 'right' as const })),
      ],
      rows,
    };
  });
  return { id: 'seeds', title: 'Every seed', blocks };
}
