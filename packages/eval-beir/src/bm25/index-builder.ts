/** Postings of one term: documents in ascending order with the term's frequency in each. */
export interface Postings {
  documents: Int32Array;
  frequencies: Int32Array;
}

/** An inverted index over analysed documents. */
export interface InvertedIndex {
  terms: Map<string, Postings>;
  /** Terms of each document. */
  lengths: Int32Array;
  /** Documents with at least one term, and the sum of all lengths. */
  documents: number;
  totalLength: number;
}

/** Growable integer list; plain arrays of boxed numbers would take several times the memory. */
class IntList {
  #data = new Int32Array(4);
  #size = 0;

  push(value: number): void {
    if (this.#size === this.#data.length) {
      const grown = new Int32Array(this.#size * 2);
      grown.set(this.#data);
      this.#data = grown;
    }
    this.#data[this.#size++] = value;
  }

  trimmed(): Int32Array {
    return this.#data.slice(0, this.#size);
  }
}

/** Builds an inverted index document by document; they are numbered from 0. */
export class IndexBuilder {
  readonly #lists = new Map<string, { documents: IntList; frequencies: IntList }>();
  readonly #lengths = new IntList();
  #count = 0;
  #documents = 0;
  #totalLength = 0;

  /** Adds the next document. */
  add(terms: readonly string[]): void {
    this.#lengths.push(terms.length);
    this.#totalLength += terms.length;
    if (terms.length > 0) this.#documents += 1;
    for (const [term, frequency] of countTerms(terms)) {
      let list = this.#lists.get(term);
      if (list === undefined) {
        list = { documents: new IntList(), frequencies: new IntList() };
        this.#lists.set(term, list);
      }
      list.documents.push(this.#count);
      list.frequencies.push(frequency);
    }
    this.#count += 1;
  }

  finish(): InvertedIndex {
    const terms = new Map<string, Postings>();
    for (const [term, list] of this.#lists) {
      terms.set(term, {
        documents: list.documents.trimmed(),
        frequencies: list.frequencies.trimmed(),
      });
    }
    return {
      terms,
      lengths: this.#lengths.trimmed(),
      documents: this.#documents,
      totalLength: this.#totalLength,
    };
  }
}

/** How often each term occurs. */
export function countTerms(terms: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const term of terms) counts.set(term, (counts.get(term) ?? 0) + 1);
  return counts;
}
