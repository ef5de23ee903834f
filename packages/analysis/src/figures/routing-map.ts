import { csv, type Figure, type FigureText, finish } from './figure.js';
import { fixed } from './scale.js';
import { Canvas, textWidth } from './svg.js';
import { diverging, inkOn, PAGE_WIDTH, sequential } from './theme.js';

export interface RoutingMapLayer {
  readonly layer: number;
  /** Gate mass per expert, averaged over seeds, each row summing to 1. */
  readonly embedding: readonly number[];
  readonly reranking: readonly number[];
  /** 95 % interval of (embedding − reranking) per expert over seeds; null with one seed. */
  readonly differenceCi95: readonly (readonly [number, number])[] | null;
  /** Mutual information of task and expert as a share of its maximum. */
  readonly information: number;
}

export interface RoutingMapSpec extends FigureText {
  readonly kind: 'routingMap';
  readonly experts: readonly string[];
  readonly layers: readonly RoutingMapLayer[];
}

const CELL_HEIGHT = 15;
const LABEL_SIZE = 7;
const SMALLEST_LABEL = 5.5;
/** Between two names, also where the reader's font is wider than Helvetica. */
const LABEL_GAP = 5;

/** Gate mass per layer × expert for each task, their difference (hatched where unresolved), and MI per layer. */
export function routingMapFigure(spec: RoutingMapSpec): Figure {
  const top = 34;
  const bottom = top + spec.layers.length * CELL_HEIGHT;
  const canvas = new Canvas(spec.name, PAGE_WIDTH, bottom + 38, spec.title, spec.alt);
  const left = 30;
  const gap = 10;
  const bars = 60;
  const width = (PAGE_WIDTH - left - bars - 8 - 3 * gap) / 3;
  const cell = width / spec.experts.length;
  const size = labelSize(spec.experts, cell - LABEL_GAP);
  const panels = [
    { title: 'Embedding', of: (l: RoutingMapLayer) => l.embedding, signed: false },
    { title: 'Reranking', of: (l: RoutingMapLayer) => l.reranking, signed: false },
    {
      title: 'Embedding − reranking',
      of: (l: RoutingMapLayer) => l.embedding.map((v, e) => v - l.reranking[e]!),
      signed: true,
    },
  ];
  spec.layers.forEach((layer, i) => {
    canvas.text(left - 5, top + i * CELL_HEIGHT + 10.3, String(layer.layer), {
      anchor: 'end',
      tone: 'muted',
    });
  });
  canvas.text(10, (top + bottom) / 2, 'layer', { anchor: 'middle', rotate: -90 });
  panels.forEach((panel, k) => {
    const x0 = left + k * (width + gap);
    canvas.text(x0, 12, panel.title, { bold: true, size: 8.5 });
    spec.experts.forEach((expert, e) => {
      canvas.text(x0 + (e + 0.5) * cell, top - 5, shorten(expert, cell - LABEL_GAP, size), {
        anchor: 'middle',
        tone: 'muted',
        size,
      });
    });
    spec.layers.forEach((layer, i) => {
      panel.of(layer).forEach((v, e) => {
        const ci = panel.signed ? (layer.differenceCi95?.[e] ?? null) : null;
        drawCell(canvas, x0 + e * cell, top + i * CELL_HEIGHT, cell, v, panel.signed, ci);
      });
    });
    drawKey(canvas, x0, bottom + 12, width, panel.signed);
  });
  drawInformation(canvas, spec, left + 3 * (width + gap), top, bars);
  return finish(spec, canvas.toString(), routingTable(spec));
}

function drawCell(
  canvas: Canvas,
  x: number,
  y: number,
  width: number,
  value: number,
  signed: boolean,
  ci: readonly [number, number] | null,
): void {
  const colour = signed ? diverging(value) : sequential(value);
  const box = { x, y, width: width - 1, height: CELL_HEIGHT - 1 };
  canvas.add('rect', { ...box, fill: colour });
  if (ci !== null && ci[0] <= 0 && ci[1] >= 0) canvas.add('rect', { ...box, fill: canvas.hatch() });
  if (width >= 22) {
    canvas.text(x + (width - 1) / 2, y + 9.8, fixed(value, 2, signed), {
      anchor: 'middle',
      size: 7,
      fill: inkOn(colour),
    });
  }
}

function drawKey(canvas: Canvas, x: number, y: number, width: number, signed: boolean): void {
  const n = 24;
  for (let i = 0; i < n; i++) {
    const t = i / (n - 1);
    canvas.add('rect', {
      x: x + (i * width) / n,
      y,
      width: width / n + 0.3,
      height: 5,
      fill: signed ? diverging(2 * t - 1) : sequential(t),
    });
  }
  const ends = signed ? ['−1: reranking', '+1: embedding'] : ['0', '1'];
  canvas.text(x, y + 13, ends[0]!, { size: 7, tone: 'muted' });
  canvas.text(x + width, y + 13, ends[1]!, { size: 7, tone: 'muted', anchor: 'end' });
  if (!signed) {
    canvas.text(x + width / 2, y + 13, 'gate mass', { size: 7, tone: 'muted', anchor: 'middle' });
  }
}

function drawInformation(
  canvas: Canvas,
  spec: RoutingMapSpec,
  x: number,
  top: number,
  width: number,
): void {
  canvas.text(x, 12, 'MI(T;E)/H(T)', { bold: true, size: 8 });
  const bottom = top + spec.layers.length * CELL_HEIGHT;
  canvas.text(x, bottom + 16, '0: ignores task', { size: 7, tone: 'muted' });
  canvas.text(x, bottom + 25, '1: reveals task', { size: 7, tone: 'muted' });
  spec.layers.forEach((layer, i) => {
    const y = top + i * CELL_HEIGHT;
    canvas.add('rect', {
      x,
      y: y + 2,
      width: width - 24,
      height: 10,
      class: 'band',
      fill: '#ececec',
    });
    canvas.add('rect', {
      x,
      y: y + 2,
      width: (width - 24) * Math.min(1, layer.information),
      height: 10,
      fill: '#009E73',
    });
    canvas.text(x + width - 20, y + 10, fixed(layer.information, 2), { size: 7.5 });
  });
}

/** The size at which all names fit into `width`, within what can be read. */
function labelSize(names: readonly string[], width: number): number {
  const widest = Math.max(...names.map((name) => textWidth(name, LABEL_SIZE)));
  return Math.min(LABEL_SIZE, Math.max(SMALLEST_LABEL, (LABEL_SIZE * width) / widest));
}

/** Cuts a name to the width of its column; the CSV and the caption keep it whole. */
function shorten(name: string, width: number, size: number): string {
  let shown = name;
  while (shown.length > 2 && textWidth(shown, size) > width + 1e-9)
    shown = `${shown.replace(/\.$/, '').slice(0, -1)}.`;
  return shown;
}

function routingTable(spec: RoutingMapSpec): string {
  const rows = spec.layers.flatMap((l) =>
    spec.experts.map((expert, e) => [
      l.layer,
      expert,
      l.embedding[e]!,
      l.reranking[e]!,
      l.differenceCi95?.[e]?.[0] ?? null,
      l.differenceCi95?.[e]?.[1] ?? null,
      l.information,
    ]),
  );
  const header = ['layer', 'expert', 'embedding', 'reranking', 'differenceLow', 'differenceHigh'];
  return csv([...header, 'informationShare'], rows);
}
