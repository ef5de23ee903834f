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

/** Builds the index of `texts`, document `i` being `texts[i]`. */
export function buildIndex(
  texts: readonly string[],
  analyze: (text: string) => string[],
): InvertedIndex {
  const lists = new Map<string, { documents: IntList; frequencies: IntList }>();
  const lengths = new Int32Array(texts.length);
  let documents = 0;
  let totalLength = 0;
  texts.forEach((text, document) => {
    const terms = analyze(text);
    lengths[document] = terms.length;
    totalLength += terms.length;
    if (terms.length > 0) documents += 1;
    for (const [term, frequency] of countTerms(terms)) {
      let list = lists.get(term);
      if (list === undefined) {
        list = { documents: new IntList(), frequencies: new IntList() };
        lists.set(term, list);
      }
      list.documents.push(document);
      list.frequencies.push(frequency);
    }
  });
  const terms = new Map<string, Postings>();
  for (const [term, list] of lists) {
    terms.set(term, {
      documents: list.documents.trimmed(),
      frequencies: list.frequencies.trimmed(),
    });
  }
  return { terms, lengths, documents, totalLength };
}

/** How often each term occurs. */
export function countTerms(terms: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const term of terms) counts.set(term, (counts.get(term) ?? 0) + 1);
  return counts;
}
