import { csv, type Figure, type FigureText, finish } from './figure.js';
import { extent, fixed, linearScale, ticks, tickDigits, tickStep } from './scale.js';
import { Canvas, textWidth } from './svg.js';
import { PAGE_WIDTH, seriesStyle } from './theme.js';

export interface LossSeries {
  readonly arm: string;
  readonly label: string;
  readonly task: 'embedding' | 'reranking';
  /** One curve per seed, each a list of [step, loss]. */
  readonly seeds: readonly (readonly (readonly [number, number])[])[];
}

export interface LossesSpec extends FigureText {
  readonly kind: 'losses';
  readonly panels: readonly {
    readonly task: 'embedding' | 'reranking';
    readonly title: string;
    readonly axisLabel: string;
  }[];
  readonly series: readonly LossSeries[];
  /** Width of the centred moving average over steps that the heavy lines show; 1 draws the raw mean. */
  readonly smooth: number;
}

/** Training loss by step: thin lines are seeds, heavy lines the smoothed mean over seeds. */
export function lossesFigure(spec: LossesSpec): Figure {
  const arms = [...new Set(spec.series.map((s) => s.arm))];
  const labels = arms.map((a) => spec.series.find((s) => s.arm === a)!.label);
  const rows = legendRows(labels);
  const top = 24 + rows.length * 12;
  const bottom = top + 130;
  const canvas = new Canvas(spec.name, PAGE_WIDTH, bottom + 30, spec.title, spec.alt);
  rows.forEach((row, r) => {
    for (const { index, x } of row) {
      const style = seriesStyle(index);
      canvas.add('line', {
        x1: x,
        y1: 9 + r * 12,
        x2: x + 16,
        y2: 9 + r * 12,
        stroke: style.colour,
        'stroke-width': 1.5,
        'stroke-dasharray': style.dash,
      });
      canvas.text(x + 20, 11.7 + r * 12, labels[index]!, { size: 7.5, tone: 'muted' });
    }
  });
  const left = 30;
  const gap = 40;
  const width = (PAGE_WIDTH - left - 8 - gap * (spec.panels.length - 1)) / spec.panels.length;
  spec.panels.forEach((panel, k) => {
    const series = spec.series.filter((s) => s.task === panel.task);
    const all = series.flatMap((s) => s.seeds.flat());
    if (all.length === 0) return;
    const x0 = left + k * (width + gap);
    const x = linearScale(
      extent(
        all.map((p) => p[0]),
        0,
      ),
      [x0, x0 + width],
    );
    const [lo, hi] = extent(
      all.map((p) => p[1]),
      0.04,
    );
    const y = linearScale([lo, hi], [bottom, top]);
    const step = tickStep(lo, hi, 5);
    for (const tick of ticks(lo, hi, 5)) {
      canvas.line(x0, y(tick), x0 + width, y(tick), 'grid');
      canvas.text(x0 - 4, y(tick) + 2.7, fixed(tick, tickDigits(step)), {
        anchor: 'end',
        tone: 'muted',
        size: 7.5,
      });
    }
    for (const tick of ticks(x.domain[0], x.domain[1], 6).filter(Number.isInteger)) {
      canvas.text(x(tick), bottom + 11, String(tick), {
        anchor: 'middle',
        tone: 'muted',
        size: 7.5,
      });
    }
    canvas.line(x0, bottom, x0 + width, bottom, 'axis');
    canvas.text(x0, top - 5, panel.title, { bold: true, size: 8.5 });
    canvas.text(x0 + width / 2, bottom + 23, panel.axisLabel, { anchor: 'middle' });
    for (const s of series) {
      const style = seriesStyle(arms.indexOf(s.arm));
      for (const curve of s.seeds) {
        canvas.add('path', {
          d: path(curve, x, y),
          fill: 'none',
          stroke: style.colour,
          'stroke-width': 0.5,
          'stroke-opacity': 0.3,
        });
      }
      canvas.add('path', {
        d: path(smoothMean(s.seeds, spec.smooth), x, y),
        fill: 'none',
        stroke: style.colour,
        'stroke-width': 1.5,
        'stroke-dasharray': style.dash,
        'stroke-linejoin': 'round',
      });
    }
  });
  return finish(spec, canvas.toString(), lossTable(spec));
}

const LEGEND = 8;

/** Packs legend entries into rows of the page width. */
function legendRows(labels: readonly string[]): { index: number; x: number }[][] {
  const rows: { index: number; x: number }[][] = [[]];
  let x = LEGEND;
  labels.forEach((label, index) => {
    const width = 20 + textWidth(label, 7.5) + 12;
    if (x + width > PAGE_WIDTH && rows[rows.length - 1]!.length > 0) {
      rows.push([]);
      x = LEGEND;
    }
    rows[rows.length - 1]!.push({ index, x });
    x += width;
  });
  return rows;
}

/** Mean over seeds at every step, then a centred moving average of `window` points that shrinks at the ends. */
export function smoothMean(
  seeds: LossSeries['seeds'],
  window: number,
): (readonly [number, number])[] {
  const byStep = new Map<number, number[]>();
  for (const [step, loss] of seeds.flat()) byStep.set(step, [...(byStep.get(step) ?? []), loss]);
  const means = [...byStep]
    .sort((a, b) => a[0] - b[0])
    .map(([step, v]) => [step, v.reduce((s, x) => s + x, 0) / v.length] as const);
  const half = Math.floor(window / 2);
  return means.map(([step], i) => {
    const reach = Math.min(half, i, means.length - 1 - i);
    const near = means.slice(i - reach, i + reach + 1);
    return [step, near.reduce((s, m) => s + m[1], 0) / near.length] as const;
  });
}

function path(
  curve: readonly (readonly [number, number])[],
  x: (v: number) => number,
  y: (v: number) => number,
): string {
  const n = (v: number) => String(Math.round(v * 100) / 100);
  return curve.map(([s, l], i) => `${i === 0 ? 'M' : 'L'}${n(x(s))} ${n(y(l))}`).join('');
}

function lossTable(spec: LossesSpec): string {
  const rows = spec.series.flatMap((s) =>
    s.seeds.flatMap((curve, i) => curve.map(([step, loss]) => [s.arm, s.task, i + 1, step, loss])),
  );
  return csv(['arm', 'task', 'seedIndex', 'step', 'loss'], rows);
}
