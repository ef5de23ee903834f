import type { CountedWarning } from '@unimoer/models';
import type { Io } from './io.js';
import { plural } from './text.js';

const sentences: Record<CountedWarning['code'], (texts: string) => string> = {
  truncated: (texts) => `${texts} longer than the limit and cut`,
  emptyDocument: (texts) => `${texts} with an empty document`,
  noTokens: (texts) => `${texts} without any token; the result is zero`,
  lengthClamped: (texts) => `${texts} limited to the model's positions`,
};

/** Adds up the warnings of several calls and prints one line for each kind. */
export class CountedWarnings {
  private readonly counts = new Map<CountedWarning['code'], number>();

  add(warnings: readonly CountedWarning[]): void {
    for (const { code, count } of warnings) {
      this.counts.set(code, (this.counts.get(code) ?? 0) + count);
    }
  }

  /** `one` and `many` say what was counted, for example text and texts. */
  print(io: Io, one: string, many: string): void {
    for (const [code, count] of this.counts) io.warn(sentences[code](plural(count, one, many)));
  }
}
