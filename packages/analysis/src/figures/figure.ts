/** A drawn figure with everything a paper or a page needs beside it. */
export interface Figure {
  readonly name: string;
  readonly title: string;
  /** What a reader who cannot see the figure should know. */
  readonly alt: string;
  /** Says n, seeds and how intervals were made. */
  readonly caption: string;
  readonly svg: string;
  /** The plotted numbers, one mark a row, full precision. */
  readonly csv: string;
  /** The input that draws this figure again. */
  readonly spec: string;
}

export interface FigureText {
  /** File name without extension; letters, digits and dashes. */
  readonly name: string;
  readonly title: string;
  readonly alt: string;
  readonly caption: string;
}

export type Cell = string | number | null;

/** RFC 4180 CSV with LF line ends; null is an empty field. */
export function csv(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const field = (v: Cell) => {
    const s = v === null ? '' : String(v);
    return /[",\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s;
  };
  return `${[header, ...rows].map((row) => row.map(field).join(',')).join('\n')}\n`;
}

export function finish<T extends FigureText & { kind: string }>(
  spec: T,
  svg: string,
  table: string,
): Figure {
  return {
    name: spec.name,
    title: spec.title,
    alt: spec.alt,
    caption: spec.caption,
    svg,
    csv: table,
    spec: `${JSON.stringify(spec, null, 2)}\n`,
  };
}
