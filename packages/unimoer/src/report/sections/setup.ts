import type { Block, Section } from '../blocks.js';
import { losses } from '../figures.js';
import type { ReportModel } from '../model.js';
import type { CellResult, Json } from '../types.js';
import { count, ENDPOINT_NAMES, flops, metricName, plainPercent, plural } from '../words.js';
import { ENDPOINTS } from '../scores.js';

/** Loss curves and what each arm cost. */
export function trainingSection(model: ReportModel): Section {
  const { results } = model;
  const rows = results.arms.flatMap((arm) => {
    const cells = results.cells.filter((c) => c.arm === arm.arm);
    if (cells.length === 0) return [];
    const same = (of: (c: CellResult) => number, show: (v: number) => string): string => {
      const values = cells.map(of);
      const [lo, hi] = [Math.min(...values), Math.max(...values)];
      return lo === hi ? show(lo) : `${show(lo)}–${show(hi)}`;
    };
    const examples = ENDPOINTS.map((e) => same((c) => c.examples[e] ?? 0, count));
    return [
      [
        arm.label,
        arm.rank === 0 ? '—' : String(arm.rank),
        same((c) => c.trainableParameters, count),
        same((c) => c.steps, count),
        ...examples,
        same((c) => c.tokens, count),
        same((c) => c.flops, flops),
      ],
    ];
  });
  return {
    id: 'training',
    title: 'Training and its cost',
    blocks: [
      ...losses(model).map((figure): Block => ({ type: 'figure', figure })),
      {
        type: 'table',
        name: 'cost',
        caption:
          'Per training run: adapter rank, trainable parameters, steps, examples per task, training tokens and floating-point operations counted from shapes. Arms see the same examples of a task in the same order.',
        columns: [
          { label: 'Arm' },
          { label: 'rank', align: 'right' },
          { label: 'parameters', align: 'right' },
          { label: 'steps', align: 'right' },
          { label: 'emb. examples', align: 'right' },
          { label: 'rer. examples', align: 'right' },
          { label: 'tokens', align: 'right' },
          { label: 'training', align: 'right' },
        ],
        rows,
      },
      {
        type: 'list',
        items: results.arms.map((a) => `**${a.label}** (\`${a.arm}\`): ${a.description}`),
      },
    ],
  };
}

/** Model, data, pools and everything the profile made smaller. */
export function setupSection(model: ReportModel): Section {
  const { results } = model;
  const blocks: Block[] = [
    {
      type: 'list',
      items: [
        ...results.backbones.map(
          (b) =>
            `Backbone **${b.label}**: ${count(b.parameters)} parameters, ${plural(b.layers, 'layer')}, width ${b.dim}${b.licence === undefined ? '' : `; licence ${b.licence}`}.`,
        ),
        ...results.datasets.map(
          (d) =>
            `Dataset **${d.label}**: ${count(d.documents)} documents, ${count(d.queries)} ${d.split} queries, ${count(d.trainQueries)} training queries${d.licence === undefined ? '' : `; licence ${d.licence}`}.`,
        ),
        ...results.datasets.flatMap((d) =>
          ENDPOINTS.flatMap((e) => {
            const setup = d.endpoints[e];
            if (setup === undefined) return [];
            const size =
              e === 'embedding'
                ? plural(setup.poolSize, 'document')
                : `${plural(setup.poolSize, 'candidate')} per query`;
            return [
              `${ENDPOINT_NAMES[e]} on ${d.label} ranks ${setup.pool} (${size}), texts cut at ${setup.maxLength} tokens; primary metric ${metricName(setup.primaryMetric)}.`,
            ];
          }),
        ),
        `Margin δ = ${plainPercent(results.delta)}; seeds ${results.seeds.join(', ')}, ${results.pairedSeeds ? 'paired across arms (same initialisation and data order)' : 'not paired across arms'}.`,
      ],
    },
  ];
  if (results.cuts.length > 0) {
    blocks.push({
      type: 'table',
      name: 'cuts',
      caption: `What profile “${results.profile}” made smaller than the full study.`,
      columns: [{ label: 'What' }, { label: 'full' }, { label: 'here' }, { label: 'why' }],
      rows: results.cuts.map((c) => [c.what, c.full, c.used, c.reason]),
    });
  } else {
    blocks.push({ type: 'paragraph', text: `Profile “${results.profile}” cuts nothing.` });
  }
  if (results.warnings.length > 0) {
    blocks.push(
      { type: 'paragraph', text: 'Warnings of the run:' },
      { type: 'list', items: [...results.warnings] },
    );
  }
  return { id: 'setup', title: 'Model, data and what the profile cut', blocks };
}

/** Commands, versions, configuration, machine and times. */
export function reproduceSection(model: ReportModel): Section {
  const { results } = model;
  const pairs = (name: string, caption: string, record: Record<string, Json>): Block => ({
    type: 'table',
    name,
    local: true,
    caption,
    columns: [{ label: 'Key' }, { label: 'Value' }],
    rows: flatten(record).map(([k, v]) => [k, v]),
  });
  return {
    id: 'reproduce',
    title: 'How to reproduce',
    blocks: [
      { type: 'code', text: results.reproduce.commands.join('\n') },
      pairs('versions', 'Versions and content hashes.', results.reproduce.versions),
      {
        type: 'code',
        summary: 'Configuration as run',
        text: JSON.stringify(results.config, null, 2),
      },
      pairs(
        'environment',
        'Machine of this run; nothing else in the report depends on it.',
        results.environment,
      ),
      pairs('timing', 'Times of this run.', results.timing),
    ],
  };
}

function flatten(record: Record<string, Json>, prefix = ''): [string, string][] {
  return Object.entries(record).flatMap(([key, value]): [string, string][] => {
    const name = prefix === '' ? key : `${prefix}.${key}`;
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
      return flatten(value, name);
    }
    if (Array.isArray(value)) return [[name, value.map((v) => String(v)).join(', ')]];
    return [
      [name, typeof value === 'number' ? String(Number(value.toPrecision(6))) : String(value)],
    ];
  });
}
