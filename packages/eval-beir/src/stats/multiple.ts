/** Holm's step-down adjustment: each p times its remaining tests, running maximum, at most 1; order kept. */
export function holm(p: readonly number[]): number[] {
  const m = p.length;
  return adjust(p, ascending(p), (value, rank) => value * (m - rank), Math.max, 0);
}

/** Benjamini and Hochberg's step-up adjustment (false discovery rate); order kept. */
export function benjaminiHochberg(p: readonly number[]): number[] {
  const m = p.length;
  const order = ascending(p).reverse();
  return adjust(p, order, (value, rank) => (value * m) / (m - rank), Math.min, 1);
}

function ascending(p: readonly number[]): number[] {
  return p.map((_, i) => i).sort((i, j) => p[i]! - p[j]!);
}

function adjust(
  p: readonly number[],
  order: readonly number[],
  scaled: (value: number, rank: number) => number,
  running: (a: number, b: number) => number,
  start: number,
): number[] {
  const adjusted = new Array<number>(p.length);
  let bound = start;
  order.forEach((index, rank) => {
    bound = running(bound, scaled(p[index]!, rank));
    adjusted[index] = Math.min(1, bound);
  });
  return adjusted;
}
