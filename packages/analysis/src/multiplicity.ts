import { AnalysisError } from './errors.js';

/** Holm's step-down adjustment (family-wise error). Order of the input is kept. */
export function holm(pValues: readonly number[]): number[] {
  checkP(pValues);
  const m = pValues.length;
  const order = ascending(pValues);
  const adjusted = new Array<number>(m);
  let running = 0;
  order.forEach((index, k) => {
    running = Math.max(running, Math.min(1, (m - k) * pValues[index]!));
    adjusted[index] = running;
  });
  return adjusted;
}

/** Benjamini–Hochberg adjustment (false discovery rate), for exploratory families. */
export function benjaminiHochberg(pValues: readonly number[]): number[] {
  checkP(pValues);
  const m = pValues.length;
  const order = ascending(pValues);
  const adjusted = new Array<number>(m);
  let running = 1;
  for (let k = m - 1; k >= 0; k--) {
    const index = order[k]!;
    running = Math.min(running, (pValues[index]! * m) / (k + 1));
    adjusted[index] = running;
  }
  return adjusted;
}

function ascending(p: readonly number[]): number[] {
  return p.map((_, i) => i).sort((a, b) => p[a]! - p[b]! || a - b);
}

function checkP(p: readonly number[]): void {
  const bad = p.findIndex((v) => !(v >= 0 && v <= 1));
  if (bad >= 0) {
    throw new AnalysisError({
      where: `p value ${bad}`,
      got: String(p[bad]),
      expected: 'a number in [0, 1]',
      remedy: 'leave untestable comparisons out of the family',
    });
  }
}
