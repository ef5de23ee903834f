import { csv, type Figure, type FigureText, finish } from './figure.js';
import { extent, fixed, linearScale, ticks, tickDigits, tickStep } from './scale.js';
import { Canvas, textWidth } from './svg.js';
import { drawMarker, PAGE_WIDTH, TASK_COLOURS } from './theme.js';

export interface EffectRow {
  /** Heading under which the row stands, e.g. `Embedding · SciFact`. */
  readonly group: string;
  readonly label: string;
  readonly task: 'embedding' | 'reranking';
  /** Relative drop as a fraction; null where it cannot be estimated. */
  readonly theta: number | null;
  readonly ci95: readonly [number, number] | null;
  /** One value per seed. */
  readonly seeds: readonly number[];
  /** Primary rows are drawn filled, secondary ones hollow. */
  readonly primary: boolean;
}

export interface EffectSpec extends FigureText {
  readonly kind: 'effect';
  /** Equivalence margin as a fraction; drawn as dashed lines at ±δ. */
  readonly delta: number;
  readonly axisLabel: string;
  readonly rows: readonly EffectRow[];
}

const ROW = 15;
const TOP = 8;

/** Relative drop with 95 % interval per endpoint × dataset, seeds as dots, margins as dashed lines. */
export function effectFigure(spec: EffectSpec): Figure {
  const groups = [...new Set(spec.rows.map((r) => r.group))];
  const left = 16 + Math.max(60, ...spec.rows.map((r) => textWidth(r.label, 8)));
  const labels = spec.rows.map((r) => valueLabel(r));
  const right = PAGE_WIDTH - 10 - Math.max(...labels.map((l) => textWidth(l, 8)), 40);
  const bottom = TOP + (spec.rows.length + groups.length * 1.25) * ROW;
  const canvas = new Canvas(spec.name, PAGE_WIDTH, bottom + 36, spec.title, spec.alt);
  const [lo, hi] = domain(spec);
  const x = linearScale([lo, hi], [left + 6, right - 8]);

  const step = tickStep(lo * 100, hi * 100, 6);
  for (const tick of ticks(lo * 100, hi * 100, 6)) {
    const at = x(tick / 100);
    canvas.line(at, TOP, at, bottom, 'grid');
    canvas.text(at, bottom + 11, fixed(tick, tickDigits(step)), {
      anchor: 'middle',
      tone: 'muted',
    });
  }
  canvas.line(x(0), TOP, x(0), bottom, 'ink');
  for (const margin of [-spec.delta, spec.delta]) {
    canvas.line(x(margin), TOP, x(margin), bottom, 'axis', { 'stroke-dasharray': '3 2' });
  }
  canvas.line(x.range[0], bottom, x.range[1], bottom, 'axis');
  canvas.text((x.range[0] + x.range[1]) / 2, bottom + 23, spec.axisLabel, { anchor: 'middle' });
  const note = `dashed: ±δ = ${fixed(spec.delta * 100, tickDigits(spec.delta * 100))} %`;
  canvas.text((x.range[0] + x.range[1]) / 2, bottom + 33, note, {
    anchor: 'middle',
    tone: 'muted',
    size: 7,
  });

  let y = TOP;
  for (const group of groups) {
    const rows = spec.rows.filter((r) => r.group === group);
    y += ROW * 1.25;
    canvas.text(6, y - 5, group, { bold: true, size: 8.5 });
    for (const row of rows) {
      drawRow(canvas, row, x, y + ROW / 2);
      canvas.text(14, y + ROW / 2 + 3, row.label, { tone: row.primary ? 'ink' : 'muted' });
      canvas.text(PAGE_WIDTH - 6, y + ROW / 2 + 3, valueLabel(row), {
        anchor: 'end',
        tone: row.primary ? 'ink' : 'muted',
      });
      y += ROW;
    }
  }
  return finish(spec, canvas.toString(), effectTable(spec));
}

function drawRow(
  canvas: Canvas,
  row: EffectRow,
  x: ReturnType<typeof linearScale>,
  y: number,
): void {
  const colour = TASK_COLOURS[row.task]!;
  const [lo, hi] = x.domain;
  if (row.ci95 !== null) {
    const a = Math.max(row.ci95[0], lo);
    const b = Math.min(row.ci95[1], hi);
    const style = { stroke: colour, 'stroke-width': row.primary ? 1.6 : 0.9, fill: 'none' };
    canvas.add('path', { d: `M${px(x(a))} ${px(y)}H${px(x(b))}`, ...style });
    for (const [end, clipped, side] of [
      [a, row.ci95[0] < lo, -1],
      [b, row.ci95[1] > hi, 1],
    ] as const) {
      const at = x(end);
      const d = clipped
        ? `M${px(at - side * 4)} ${px(y - 3)}L${px(at)} ${px(y)}L${px(at - side * 4)} ${px(y + 3)}`
        : `M${px(at)} ${px(y - 3)}V${px(y + 3)}`;
      canvas.add('path', { d, ...style });
    }
  }
  for (const seed of row.seeds) {
    if (seed < lo || seed > hi) continue;
    drawMarker(canvas, 'circle', x(seed), y - 4.6, 1.5, { fill: colour, opacity: 0.7 });
  }
  if (row.theta === null || row.theta < lo || row.theta > hi) return;
  drawMarker(canvas, row.task === 'embedding' ? 'circle' : 'square', x(row.theta), y, 3, {
    fill: row.primary ? colour : '#ffffff',
    stroke: colour,
  });
}

const px = (v: number) => String(Math.round(v * 100) / 100);

function valueLabel(row: EffectRow): string {
  if (row.theta === null) return 'not estimable';
  const pc = (v: number) => fixed(v * 100, 1, true);
  const range = row.ci95 === null ? '' : ` [${pc(row.ci95[0])}, ${pc(row.ci95[1])}]`;
  return `${pc(row.theta)} %${range}`;
}

/** Every interval, unless one is so wide that it would flatten the rest: then it is cut and ends in an arrow. */
function domain(spec: EffectSpec): [number, number] {
  const points = spec.rows.flatMap((r) => [...(r.theta === null ? [] : [r.theta]), ...r.seeds]);
  const ends = spec.rows.flatMap((r) => (r.ci95 === null ? [] : [...r.ci95]));
  const cap = Math.max(0.25, 2 * Math.max(0, ...points.map(Math.abs)));
  const shown = ends.map((v) => Math.min(cap, Math.max(-cap, v)));
  return extent([...points, ...shown, -1.5 * spec.delta, 1.5 * spec.delta], 0.03);
}

function effectTable(spec: EffectSpec): string {
  const rows = spec.rows.flatMap((r) => {
    const head = [r.group, r.label, r.task];
    return [
      [...head, 'theta', r.theta, r.ci95?.[0] ?? null, r.ci95?.[1] ?? null],
      ...r.seeds.map((v, i) => [...head, `seed ${i + 1}`, v, null, null]),
    ];
  });
  return csv(['group', 'queries', 'task', 'mark', 'value', 'ci95Low', 'ci95High'], rows);
}
