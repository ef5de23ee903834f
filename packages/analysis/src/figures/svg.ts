/** A small SVG writer with deterministic bytes: fixed attribute order, fixed rounding, no clock, no random ids. */

export type Attributes = Record<string, string | number | undefined>;

/** Rounds to 1/100 unit and never prints −0 or an exponent. */
export function num(value: number): string {
  const rounded = Math.round(value * 100) / 100;
  return Object.is(rounded, -0) ? '0' : String(rounded);
}

export function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

// Advance widths of Helvetica in 1/1000 em for ' ' to '~'; other characters count as a digit.
const WIDTHS = [
  278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
  556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
  611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
  667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
  222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

/** Width of a text in Helvetica-like type, for laying out labels without a browser. Errs on the wide side by 4 %. */
export function textWidth(text: string, size: number, bold = false): number {
  let total = 0;
  for (const char of text) total += WIDTHS[char.codePointAt(0)! - 32] ?? 556;
  return (total / 1000) * size * (bold ? 1.12 : 1.04);
}

export interface TextOptions {
  size?: number;
  anchor?: 'start' | 'middle' | 'end';
  bold?: boolean;
  /** `ink`, `muted`, or a fixed colour that does not follow the page's theme. */
  tone?: 'ink' | 'muted';
  fill?: string;
  rotate?: number;
}

const TONES = { ink: '#1b1b1b', muted: '#595959', grid: '#dcdcdc', axis: '#7a7a7a' } as const;
export const FONT = 'Helvetica, Arial, Liberation Sans, sans-serif';

/**
 * Collects elements and serialises them. Ink colours are presentation attributes with a class beside them, so a page can
 * restyle them for a dark theme while the file alone prints dark on white.
 */
export class Canvas {
  private readonly parts: string[] = [];
  private readonly defs: string[] = [];

  private readonly id: string;

  constructor(
    name: string,
    readonly width: number,
    readonly height: number,
    private readonly title: string,
    private readonly description: string,
  ) {
    // A prefix keeps figure ids apart from a page's own.
    this.id = `figure-${name}`;
  }

  private element(name: string, attributes: Attributes, content?: string): string {
    const list = Object.entries(attributes)
      .filter(([, v]) => v !== undefined)
      .map(([k, v]) => ` ${k}="${typeof v === 'number' ? num(v) : escapeXml(String(v))}"`)
      .join('');
    return content === undefined ? `<${name}${list}/>` : `<${name}${list}>${content}</${name}>`;
  }

  add(name: string, attributes: Attributes, content?: string): void {
    this.parts.push(this.element(name, attributes, content));
  }

  line(
    x1: number,
    y1: number,
    x2: number,
    y2: number,
    kind: 'grid' | 'axis' | 'ink' | 'muted',
    more: Attributes = {},
  ): void {
    const width = kind === 'grid' ? 0.5 : 0.75;
    this.add('line', {
      x1,
      y1,
      x2,
      y2,
      class: `s-${kind}`,
      stroke: TONES[kind],
      'stroke-width': width,
      ...more,
    });
  }

  text(x: number, y: number, text: string, options: TextOptions = {}): void {
    const { size = 8, anchor = 'start', bold, tone = 'ink', fill, rotate } = options;
    this.add(
      'text',
      {
        x,
        y,
        class: fill === undefined ? `t-${tone}` : undefined,
        fill: fill ?? TONES[tone],
        'font-size': size,
        'font-weight': bold ? 'bold' : undefined,
        'text-anchor': anchor === 'start' ? undefined : anchor,
        transform: rotate === undefined ? undefined : `rotate(${num(rotate)} ${num(x)} ${num(y)})`,
      },
      escapeXml(text),
    );
  }

  /** Diagonal hatching over whatever lies below; returns the fill reference. */
  hatch(): string {
    const id = `${this.id}-hatch`;
    if (this.defs.length === 0) {
      this.defs.push(
        this.element(
          'pattern',
          {
            id,
            width: 4,
            height: 4,
            patternUnits: 'userSpaceOnUse',
            patternTransform: 'rotate(45)',
          },
          this.element('line', {
            x1: 0,
            y1: 0,
            x2: 0,
            y2: 4,
            stroke: '#000',
            'stroke-width': 0.8,
            'stroke-opacity': 0.35,
          }),
        ),
      );
    }
    return `url(#${id})`;
  }

  toString(): string {
    const ids = `${this.id}-title ${this.id}-desc`;
    const lines = [
      `<svg xmlns="http://www.w3.org/2000/svg" class="figure" width="${num(this.width)}pt" height="${num(this.height)}pt" viewBox="0 0 ${num(this.width)} ${num(this.height)}" role="img" aria-labelledby="${ids}" font-family="${FONT}">`,
      `<title id="${this.id}-title">${escapeXml(this.title)}</title>`,
      `<desc id="${this.id}-desc">${escapeXml(this.description)}</desc>`,
      ...(this.defs.length > 0 ? [`<defs>${this.defs.join('')}</defs>`] : []),
      `<rect class="bg" width="${num(this.width)}" height="${num(this.height)}" fill="#ffffff"/>`,
      ...this.parts,
      '</svg>',
    ];
    return `${lines.join('\n')}\n`;
  }
}
