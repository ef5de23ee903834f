import { TopK } from '../trec/top-k.js';
import { type Run, type ScoredDocument, tieRanks } from '../trec/order.js';
import { type Analyzer, analyzeEnglish } from './analyze.js';
import { countTerms, IndexBuilder, type InvertedIndex } from './index-builder.js';
import { luceneLength } from './length.js';

/** Parameters of {@link Bm25}. */
export interface Bm25Options {
  /** Saturation of the term frequency; default 0.9. */
  k1?: number;
  /** Strength of length normalisation; default 0.4. */
  b?: number;
  /** Document lengths rounded to Lucene's one byte (default, as in published figures), or as counted. */
  lengths?: 'lucene' | 'exact';
  /** Default {@link analyzeEnglish}. */
  analyze?: Analyzer;
}

/** Indexes a collection document by document, for callers that must not block for long; see {@link Bm25}. */
export class Bm25Builder {
  readonly #options: Bm25Options;
  readonly #analyze: Analyzer;
  readonly #ids: string[] = [];
  readonly #builder = new IndexBuilder();

  constructor(options: Bm25Options = {}) {
    this.#options = options;
    this.#analyze = options.analyze ?? analyzeEnglish;
  }

  /** Adds the next document. */
  add(id: string, text: string): void {
    this.#ids.push(id);
    this.#builder.add(this.#analyze(text));
  }

  /** The finished index; the builder is spent. */
  finish(): Bm25 {
    return new Bm25(this.#ids, this.#builder.finish(), this.#options);
  }
}

/**
 * BM25 as Lucene 8 and later score it: idf ln(1 + (N - n + 0.5) / (n + 0.5)) times tf / (tf + k1 (1 - b + b len/avg)),
 * summed over the query's terms with their multiplicity (Robertson and Zaragoza 2009, without the constant k1 + 1).
 */
export class Bm25 {
  readonly #ids: readonly string[];
  readonly #ranks: Int32Array;
  readonly #index: InvertedIndex;
  readonly #analyze: Analyzer;
  /** k1 (1 - b + b len/avg) of each document. */
  readonly #saturation: Float64Array;
  readonly #scores: Float64Array;
  readonly #touched: Int32Array;

  /** Document `i` of `documents` (texts, or an index of them) is called `ids[i]`. */
  constructor(
    ids: readonly string[],
    documents: readonly string[] | InvertedIndex,
    options: Bm25Options = {},
  ) {
    const { k1 = 0.9, b = 0.4 } = options;
    this.#analyze = options.analyze ?? analyzeEnglish;
    this.#ids = ids;
    this.#ranks = tieRanks(ids);
    this.#index = 'terms' in documents ? documents : indexTexts(documents, this.#analyze);
    if (this.#index.lengths.length !== ids.length) {
      throw new RangeError(`${ids.length} ids do not fit ${this.#index.lengths.length} documents`);
    }
    const average = this.#index.totalLength / Math.max(1, this.#index.documents);
    const length = options.lengths === 'exact' ? (n: number): number => n : luceneLength;
    this.#saturation = Float64Array.from(
      this.#index.lengths,
      (n) => k1 * (1 - b + (b * length(n)) / average),
    );
    this.#scores = new Float64Array(ids.length);
    this.#touched = new Int32Array(ids.length);
  }

  /** The best `top` documents that share a term with the query, in trec_eval's order; scores are float32. */
  search(query: string, top: number): ScoredDocument[] {
    const scores = this.#scores;
    const touched = this.#touched;
    let count = 0;
    for (const [term, multiplicity] of countTerms(this.#analyze(query))) {
      const postings = this.#index.terms.get(term);
      if (postings === undefined) continue;
      const { documents, frequencies } = postings;
      const n = documents.length;
      const weight = multiplicity * Math.log(1 + (this.#index.documents - n + 0.5) / (n + 0.5));
      for (let i = 0; i < n; i++) {
        const document = documents[i]!;
        const frequency = frequencies[i]!;
        if (scores[document] === 0) touched[count++] = document;
        scores[document]! += (weight * frequency) / (frequency + this.#saturation[document]!);
      }
    }
    const best = new TopK(top, this.#ranks);
    for (let i = 0; i < count; i++) {
      const document = touched[i]!;
      best.offer(document, scores[document]!);
      scores[document] = 0;
    }
    return best.take(this.#ids);
  }

  /** Searches for every query; queries that match nothing are left out of the run. */
  searchAll(
    queries: ReadonlyMap<string, string>,
    top: number,
    onProgress?: (done: number, total: number) => void,
  ): Run {
    const run: Run = new Map();
    let done = 0;
    for (const [id, text] of queries) {
      const documents = this.search(text, top);
      if (documents.length > 0) run.set(id, documents);
      done += 1;
      onProgress?.(done, queries.size);
    }
    return run;
  }
}

function indexTexts(texts: readonly string[], analyze: Analyzer): InvertedIndex {
  const builder = new IndexBuilder();
  for (const text of texts) builder.add(analyze(text));
  return builder.finish();
}
