import { csv, type Figure, type FigureText, finish } from './figure.js';
import { extent, fixed, linearScale, ticks, tickDigits, tickStep } from './scale.js';
import { Canvas, textWidth } from './svg.js';
import { drawMarker, type Marker, PAGE_WIDTH, TASK_COLOURS } from './theme.js';

export interface ArmPoint {
  readonly arm: string;
  readonly task: 'embedding' | 'reranking';
  readonly group: 'all' | 'seen' | 'unseen';
  /** One value per seed; a single one for an arm without seeds. */
  readonly seeds: readonly number[];
}

export interface ArmReference {
  readonly task: 'embedding' | 'reranking';
  readonly label: string;
  readonly value: number;
}

export interface ArmsSpec extends FigureText {
  readonly kind: 'arms';
  /** Rows from top to bottom: arm name and the words beside it. */
  readonly arms: readonly { readonly arm: string; readonly label: string }[];
  readonly panels: readonly {
    readonly task: 'embedding' | 'reranking';
    readonly title: string;
    readonly axisLabel: string;
  }[];
  readonly points: readonly ArmPoint[];
  /** Vertical lines over all queries, e.g. BM25. */
  readonly references: readonly ArmReference[];
}

const LANES = { all: 0, seen: 1, unseen: 2 } as const;
const LANE = 8.5;
const GROUP_MARKERS: Record<ArmPoint['group'], Marker> = {
  all: 'circle',
  seen: 'triangleUp',
  unseen: 'triangleDown',
};

/** Metric of every arm and endpoint: mean as a large mark, seeds as dots, one lane per query group. */
export function armsFigure(spec: ArmsSpec): Figure {
  const groups = (['all', 'seen', 'unseen'] as const).filter((g) =>
    spec.points.some((p) => p.group === g),
  );
  const rowHeight = LANE * groups.length + 6;
  const left = 12 + Math.max(50, ...spec.arms.map((a) => textWidth(a.label, 8)));
  const top = 42;
  const bottom = top + spec.arms.length * rowHeight;
  const gap = 16;
  const width = (PAGE_WIDTH - left - 10 - gap * (spec.panels.length - 1)) / spec.panels.length;
  const canvas = new Canvas(spec.name, PAGE_WIDTH, bottom + 28, spec.title, spec.alt);
  drawLegend(canvas, groups);
  spec.arms.forEach((arm, i) => {
    const y = top + i * rowHeight;
    if (i % 2 === 0) {
      canvas.add('rect', {
        x: 4,
        y,
        width: PAGE_WIDTH - 8,
        height: rowHeight,
        class: 'band',
        fill: '#f3f3f3',
      });
    }
    canvas.text(8, y + rowHeight / 2 + 3, arm.label);
  });
  spec.panels.forEach((panel, k) => {
    const points = spec.points.filter((p) => p.task === panel.task);
    const references = spec.references.filter((r) => r.task === panel.task);
    const x0 = left + k * (width + gap);
    const values = [...points.flatMap((p) => p.seeds), ...references.map((r) => r.value)];
    const [lo, hi] = extent(values, 0.06);
    const x = linearScale([lo, hi], [x0 + 4, x0 + width - 4]);
    const step = tickStep(lo, hi, 5);
    for (const tick of ticks(lo, hi, 5)) {
      canvas.line(x(tick), top, x(tick), bottom, 'grid');
      canvas.text(x(tick), bottom + 10, fixed(tick, tickDigits(step)), {
        anchor: 'middle',
        tone: 'muted',
        size: 7.5,
      });
    }
    canvas.line(x0, bottom, x0 + width, bottom, 'axis');
    canvas.text(x0, top - 15, panel.title, { bold: true, size: 8.5 });
    canvas.text(x0 + width / 2, bottom + 22, panel.axisLabel, { anchor: 'middle' });
    for (const reference of references) drawReference(canvas, reference, x, top, bottom);
    spec.arms.forEach((arm, i) => {
      for (const point of points.filter((p) => p.arm === arm.arm)) {
        const y = top + i * rowHeight + 3 + (LANES[point.group] + 0.5) * LANE;
        drawPoint(canvas, point, x, y);
      }
    });
  });
  return finish(spec, canvas.toString(), armsTable(spec));
}

function drawPoint(
  canvas: Canvas,
  point: ArmPoint,
  x: ReturnType<typeof linearScale>,
  y: number,
): void {
  if (point.seeds.length === 0) return;
  const colour = TASK_COLOURS[point.task]!;
  const average = point.seeds.reduce((s, v) => s + v, 0) / point.seeds.length;
  if (point.seeds.length > 1) {
    canvas.add('line', {
      x1: x(Math.min(...point.seeds)),
      y1: y,
      x2: x(Math.max(...point.seeds)),
      y2: y,
      stroke: colour,
      'stroke-width': 0.6,
      'stroke-opacity': 0.6,
    });
  }
  const main = point.group === 'all';
  drawMarker(canvas, GROUP_MARKERS[point.group], x(average), y, main ? 2.8 : 2.3, {
    fill: main ? colour : '#ffffff',
    stroke: colour,
  });
  if (point.seeds.length > 1) {
    for (const v of point.seeds) {
      drawMarker(canvas, 'circle', x(v), y, 1.1, { fill: colour, opacity: 0.75 });
    }
  }
}

function drawReference(
  canvas: Canvas,
  reference: ArmReference,
  x: ReturnType<typeof linearScale>,
  top: number,
  bottom: number,
): void {
  const at = x(reference.value);
  canvas.line(at, top - 2, at, bottom, 'axis', { 'stroke-dasharray': '4 2' });
  const label = `${reference.label} ${fixed(reference.value, 3)}`;
  const half = textWidth(label, 7) / 2;
  const centre = Math.min(Math.max(at, x.range[0] + half), x.range[1] - half);
  canvas.text(centre, top - 4.5, label, { anchor: 'middle', tone: 'muted', size: 7 });
}

const GROUP_WORDS: Record<ArmPoint['group'], string> = {
  all: 'all queries',
  seen: 'gold documents seen in training',
  unseen: 'gold documents not seen',
};

/** Mid grey: reads on white and on a dark page. */
const LEGEND = '#7a7a7a';

function drawLegend(canvas: Canvas, groups: readonly ArmPoint['group'][]): void {
  let x = 8;
  for (const group of groups) {
    const main = group === 'all';
    drawMarker(canvas, GROUP_MARKERS[group], x + 3, 9, main ? 2.8 : 2.3, {
      fill: main ? LEGEND : '#ffffff',
      stroke: LEGEND,
    });
    canvas.text(x + 10, 11.7, GROUP_WORDS[group], { tone: 'muted', size: 7.5 });
    x += 10 + textWidth(GROUP_WORDS[group], 7.5) + 20;
  }
  drawMarker(canvas, 'circle', x + 3, 9, 1.1, { fill: LEGEND });
  canvas.text(x + 8, 11.7, 'one seed', { tone: 'muted', size: 7.5 });
}

function armsTable(spec: ArmsSpec): string {
  const rows = [
    ...spec.points.flatMap((p) =>
      p.seeds.map((v, i) => [p.arm, p.task, p.group, p.seeds.length > 1 ? i + 1 : null, v]),
    ),
    ...spec.references.map((r) => [r.label, r.task, 'all', null, r.value]),
  ];
  return csv(['arm', 'task', 'queries', 'seedIndex', 'value'], rows);
}
