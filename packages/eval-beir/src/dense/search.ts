import { InputError } from '../errors.js';
import { type Run, tieRanks } from '../trec/order.js';
import { TopK } from '../trec/top-k.js';

/** Vectors of named texts: row-major float32 `[ids.length, dim]`. */
export interface VectorTable {
  ids: readonly string[];
  vectors: Float32Array;
}

/**
 * Exact nearest neighbours by inner product (cosine for normalised vectors), fed document by document: every document is
 * scored for every query, only the best are kept. Results are in trec_eval's order with deterministic ties, however the
 * documents are cut into blocks.
 */
export class DenseSearch {
  readonly #queries: VectorTable;
  readonly #documentIds: readonly string[];
  readonly #dim: number;
  readonly #heaps: TopK[];
  #done = 0;
  #scores = new Float64Array(0);

  /** `documentIds` names the documents in the order in which {@link add} will bring their vectors. */
  constructor(
    queries: VectorTable,
    documentIds: readonly string[],
    options: { dim: number; top: number },
  ) {
    const { dim, top } = options;
    if (!Number.isInteger(top) || top < 1)
      throw new RangeError(`top must be at least 1, got ${top}`);
    checkSize('queries', queries.vectors.length, queries.ids.length, dim);
    this.#queries = queries;
    this.#documentIds = documentIds;
    this.#dim = dim;
    const ranks = tieRanks(documentIds);
    this.#heaps = queries.ids.map(() => new TopK(top, ranks));
  }

  /**
   * Scores the next documents, float32 `[any number, dim]`.
   * Throws a RangeError for sizes that do not fit and {@link InputError} naming the pair whose score is not finite.
   */
  add(vectors: Float32Array): void {
    const count = vectors.length / this.#dim;
    checkSize('documents', vectors.length, Math.floor(count), this.#dim);
    if (this.#done + count > this.#documentIds.length) {
      throw new RangeError(`more than the ${this.#documentIds.length} documents announced`);
    }
    if (this.#scores.length < count) this.#scores = new Float64Array(count);
    for (let q = 0; q < this.#heaps.length; q++) {
      scoreBlock(this.#queries.vectors, q, vectors, count, this.#dim, this.#scores);
      this.#keep(q, count);
    }
    this.#done += count;
  }

  #keep(query: number, count: number): void {
    const heap = this.#heaps[query]!;
    for (let i = 0; i < count; i++) {
      const score = this.#scores[i]!;
      const document = this.#done + i;
      if (!Number.isFinite(score)) {
        throw notFinite(this.#queries.ids[query]!, this.#documentIds[document]!, score);
      }
      heap.offer(document, score);
    }
  }

  /** The run over the documents added so far. */
  finish(): Run {
    const ids = this.#queries.ids;
    return new Map(ids.map((id, q) => [id, this.#heaps[q]!.take(this.#documentIds)]));
  }
}

/** {@link DenseSearch} over documents in memory, `blockSize` (default 512) at a time. */
export function searchDense(
  queries: VectorTable,
  documents: VectorTable,
  options: { dim: number; top: number; blockSize?: number },
): Run {
  const { dim, blockSize = 512 } = options;
  checkSize('documents', documents.vectors.length, documents.ids.length, dim);
  const search = new DenseSearch(queries, documents.ids, options);
  for (let start = 0; start < documents.ids.length; start += blockSize) {
    search.add(documents.vectors.subarray(start * dim, (start + blockSize) * dim));
  }
  return search.finish();
}

/** Inner products of one query with `count` documents, four documents a pass; each sum runs along dim. */
function scoreBlock(
  queries: Float32Array,
  query: number,
  documents: Float32Array,
  count: number,
  dim: number,
  scores: Float64Array,
): void {
  const q = queries.subarray(query * dim, (query + 1) * dim);
  let d = 0;
  for (; d + 4 <= count; d += 4) {
    const a = d * dim;
    const b = a + dim;
    const c = b + dim;
    const e = c + dim;
    let [sumA, sumB, sumC, sumE] = [0, 0, 0, 0];
    for (let i = 0; i < dim; i++) {
      const x = q[i]!;
      sumA += x * documents[a + i]!;
      sumB += x * documents[b + i]!;
      sumC += x * documents[c + i]!;
      sumE += x * documents[e + i]!;
    }
    scores[d] = sumA;
    scores[d + 1] = sumB;
    scores[d + 2] = sumC;
    scores[d + 3] = sumE;
  }
  for (; d < count; d++) {
    let sum = 0;
    for (let i = 0; i < dim; i++) sum += q[i]! * documents[d * dim + i]!;
    scores[d] = sum;
  }
}

function checkSize(what: string, values: number, count: number, dim: number): void {
  if (!Number.isInteger(dim) || dim < 1 || values !== count * dim) {
    throw new RangeError(`${what}: ${values} values do not make ${count} vectors of ${dim}`);
  }
}

function notFinite(query: string, document: string, score: number): InputError {
  return new InputError({
    where: `query ${JSON.stringify(query)}, document ${JSON.stringify(document)}`,
    got: `score ${score}`,
    expected: 'a finite score',
    remedy: 'check the model and its weights',
  });
}
