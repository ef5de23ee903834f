import type { CountedWarning } from './run-options';

const MESSAGES: Readonly<Record<CountedWarning['code'], (count: number) => string>> = {
  truncated: (n) => `${n} ${n === 1 ? 'text was' : 'texts were'} longer than the limit and cut`,
  emptyDocument: (n) => `${n} ${n === 1 ? 'document is' : 'documents are'} empty`,
  noTokens: (n) => `${n} ${n === 1 ? 'text gives' : 'texts give'} no token; the result is zero`,
  lengthClamped: () => `the maximum length was clamped to the model's positions`,
};

/** Counts what happened to texts, so that a warning is given once with its number. */
export class Tally {
  private readonly counts = new Map<CountedWarning['code'], { count: number; note: string }>();

  count(code: CountedWarning['code'], note = ''): void {
    const entry = this.counts.get(code);
    if (entry) entry.count++;
    else this.counts.set(code, { count: 1, note });
  }

  list(): CountedWarning[] {
    return [...this.counts].map(([code, { count, note }]) => {
      return { code, count, message: MESSAGES[code](count) + note };
    });
  }
}
