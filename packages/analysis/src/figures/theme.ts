import type { Canvas } from './svg.js';

/** Text width of a two-column paper page and its column, in PostScript points. */
export const PAGE_WIDTH = 453.5;

/** Okabe–Ito hues; tasks keep theirs in every figure. */
export const TASK_COLOURS: Record<string, string> = {
  embedding: '#0072B2',
  reranking: '#D55E00',
  shared: '#009E73',
};

/** Series style by position: hue, dash and marker all differ, so that grey prints stay readable. */
const SERIES = [
  { colour: '#0072B2', dash: '' },
  { colour: '#D55E00', dash: '5 2' },
  { colour: '#009E73', dash: '2 2' },
  { colour: '#CC79A7', dash: '7 2 2 2' },
  { colour: '#B8860B', dash: '1 2' },
  { colour: '#56B4E9', dash: '9 3' },
  { colour: '#7A7A7A', dash: '4 2 1 2 1 2' },
] as const;

export function seriesStyle(index: number): { colour: string; dash: string | undefined } {
  const s = SERIES[index % SERIES.length]!;
  return { colour: s.colour, dash: s.dash === '' ? undefined : s.dash };
}

export type Marker = 'circle' | 'triangleUp' | 'triangleDown' | 'square' | 'diamond';

export interface MarkerStyle {
  fill: string;
  stroke?: string;
  opacity?: number;
}

export function drawMarker(
  canvas: Canvas,
  marker: Marker,
  x: number,
  y: number,
  r: number,
  style: MarkerStyle,
): void {
  const paint = {
    fill: style.fill,
    class: style.fill === '#ffffff' ? 'hollow' : undefined,
    stroke: style.stroke,
    'stroke-width': style.stroke === undefined ? undefined : 1,
    'fill-opacity': style.opacity,
  };
  const n = (v: number) => String(Math.round(v * 100) / 100);
  const polygon = (points: [number, number][]) =>
    canvas.add('polygon', {
      points: points.map(([a, b]) => `${n(a)},${n(b)}`).join(' '),
      ...paint,
    });
  const h = r * 1.15;
  if (marker === 'circle') canvas.add('circle', { cx: x, cy: y, r, ...paint });
  else if (marker === 'square') {
    canvas.add('rect', {
      x: x - r * 0.9,
      y: y - r * 0.9,
      width: r * 1.8,
      height: r * 1.8,
      ...paint,
    });
  } else if (marker === 'diamond') {
    polygon([
      [x, y - h * 1.1],
      [x + h * 1.1, y],
      [x, y + h * 1.1],
      [x - h * 1.1, y],
    ]);
  } else {
    const up = marker === 'triangleUp' ? 1 : -1;
    polygon([
      [x, y - up * h],
      [x + h, y + up * h * 0.8],
      [x - h, y + up * h * 0.8],
    ]);
  }
}

type Rgb = readonly [number, number, number];

// Nine samples of viridis (CC0), interpolated linearly in sRGB.
const VIRIDIS: readonly Rgb[] = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
];
// Embedding blue – white – reranking vermilion, so that the sign reads as the task.
const DIVERGING: readonly Rgb[] = [
  [213, 94, 0],
  [234, 174, 128],
  [247, 247, 247],
  [128, 184, 217],
  [0, 114, 178],
];

function ramp(stops: readonly Rgb[], t: number): Rgb {
  const x = Math.min(1, Math.max(0, t)) * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(x));
  const f = x - i;
  const [a, b] = [stops[i]!, stops[i + 1]!];
  return [0, 1, 2].map((k) => Math.round(a[k]! + (b[k]! - a[k]!) * f)) as unknown as Rgb;
}

const hex = (c: Rgb) => `#${c.map((v) => v.toString(16).padStart(2, '0')).join('')}`;

/** Sequential colour of a value in [0, 1]. */
export function sequential(t: number): string {
  return hex(ramp(VIRIDIS, t));
}

/** Diverging colour of a value in [−1, 1]: −1 reranking, 0 white, +1 embedding. */
export function diverging(t: number): string {
  return hex(ramp(DIVERGING, (t + 1) / 2));
}

/** Black or white, whichever contrasts more with a #rrggbb colour. */
export function inkOn(colour: string): string {
  const channel = (i: number) => {
    const v = Number.parseInt(colour.slice(1 + 2 * i, 3 + 2 * i), 16) / 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2);
  return luminance > 0.179 ? '#000000' : '#ffffff';
}
