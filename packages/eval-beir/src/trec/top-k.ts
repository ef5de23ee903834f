import type { ScoredDocument } from './order.js';

/**
 * Keeps the best `k` of the documents offered, in trec_eval's order: float32 score descending, then tie rank ascending
 * (see {@link tieRanks}). A heap of fixed size whose root is the worst document kept.
 */
export class TopK {
  readonly #k: number;
  readonly #ranks: Int32Array;
  readonly #documents: Int32Array;
  readonly #scores: Float32Array;
  #size = 0;

  constructor(k: number, ranks: Int32Array) {
    this.#k = Math.min(k, ranks.length);
    this.#ranks = ranks;
    this.#documents = new Int32Array(this.#k);
    this.#scores = new Float32Array(this.#k);
  }

  /** Offers document number `document`. The score is rounded to float32 before it is compared. */
  offer(document: number, score: number): void {
    const rounded = Math.fround(score);
    if (this.#size < this.#k) {
      this.#documents[this.#size] = document;
      this.#scores[this.#size] = rounded;
      this.#size += 1;
      this.#up(this.#size - 1);
    } else if (this.#k > 0 && this.#isWorse(0, rounded, document)) {
      this.#documents[0] = document;
      this.#scores[0] = rounded;
      this.#down();
    }
  }

  /** The documents kept, best first; empties the heap. */
  take(ids: readonly string[]): ScoredDocument[] {
    const order = Array.from({ length: this.#size }, (_, i) => i);
    const documents = this.#documents;
    const scores = this.#scores;
    const ranks = this.#ranks;
    order.sort((i, j) => scores[j]! - scores[i]! || ranks[documents[i]!]! - ranks[documents[j]!]!);
    this.#size = 0;
    return order.map((i) => ({ id: ids[documents[i]!]!, score: scores[i]! }));
  }

  /** Whether the document at heap position `at` ranks below the one given. */
  #isWorse(at: number, score: number, document: number): boolean {
    const own = this.#scores[at]!;
    return own !== score
      ? own < score
      : this.#ranks[this.#documents[at]!]! > this.#ranks[document]!;
  }

  #swap(i: number, j: number): void {
    const document = this.#documents[i]!;
    const score = this.#scores[i]!;
    this.#documents[i] = this.#documents[j]!;
    this.#scores[i] = this.#scores[j]!;
    this.#documents[j] = document;
    this.#scores[j] = score;
  }

  #up(start: number): void {
    let child = start;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!this.#isWorse(child, this.#scores[parent]!, this.#documents[parent]!)) return;
      this.#swap(child, parent);
      child = parent;
    }
  }

  #down(): void {
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= this.#size) return;
      const right = child + 1;
      if (
        right < this.#size &&
        this.#isWorse(right, this.#scores[child]!, this.#documents[child]!)
      ) {
        child = right;
      }
      if (!this.#isWorse(child, this.#scores[parent]!, this.#documents[parent]!)) return;
      this.#swap(child, parent);
      parent = child;
    }
  }
}
