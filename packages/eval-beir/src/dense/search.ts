import { InputError } from '../errors.js';
import { type Run, tieRanks } from '../trec/order.js';
import { TopK } from './top-k.js';

/** Vectors of named texts: row-major float32 `[ids.length, dim]`. */
export interface VectorTable {
  ids: readonly string[];
  vectors: Float32Array;
}

/** What {@link searchDense} needs. */
export interface DenseSearchOptions {
  dim: number;
  /** Documents kept for each query. */
  top: number;
  /** Documents scored at a time; bounds the working set, never changes the result. Default 512. */
  blockSize?: number;
  /** Called after each block with the number of documents done. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * Exact nearest neighbours by inner product (cosine for normalised vectors): every document is scored for every query.
 * Documents are in trec_eval's order with deterministic ties.
 * Throws a RangeError for sizes that do not fit and {@link InputError} naming the pair whose score is not finite.
 */
export function searchDense(
  queries: VectorTable,
  documents: VectorTable,
  options: DenseSearchOptions,
): Run {
  const { dim, top } = options;
  checkSize('queries', queries, dim);
  checkSize('documents', documents, dim);
  if (!Number.isInteger(top) || top < 1) throw new RangeError(`top must be at least 1, got ${top}`);
  const ranks = tieRanks(documents.ids);
  const heaps = queries.ids.map(() => new TopK(top, ranks));
  const block = options.blockSize ?? 512;
  const count = documents.ids.length;
  const scores = new Float64Array(block);
  for (let start = 0; start < count; start += block) {
    const end = Math.min(count, start + block);
    for (let q = 0; q < heaps.length; q++) {
      scoreBlock(queries.vectors, q, documents.vectors, start, end, dim, scores);
      const heap = heaps[q]!;
      for (let d = start; d < end; d++) {
        const score = scores[d - start]!;
        if (!Number.isFinite(score)) throw notFinite(queries.ids[q]!, documents.ids[d]!, score);
        heap.offer(d, score);
      }
    }
    options.onProgress?.(end, count);
  }
  return new Map(queries.ids.map((id, q) => [id, heaps[q]!.take(documents.ids)]));
}

/** Inner products of one query with documents `start` to `end`, four documents a pass; each sum runs along dim. */
function scoreBlock(
  queries: Float32Array,
  query: number,
  documents: Float32Array,
  start: number,
  end: number,
  dim: number,
  scores: Float64Array,
): void {
  const q = queries.subarray(query * dim, (query + 1) * dim);
  let d = start;
  for (; d + 4 <= end; d += 4) {
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
    const at = d - start;
    scores[at] = sumA;
    scores[at + 1] = sumB;
    scores[at + 2] = sumC;
    scores[at + 3] = sumE;
  }
  for (; d < end; d++) {
    let sum = 0;
    for (let i = 0; i < dim; i++) sum += q[i]! * documents[d * dim + i]!;
    scores[d - start] = sum;
  }
}

function checkSize(what: string, table: VectorTable, dim: number): void {
  if (!Number.isInteger(dim) || dim < 1 || table.vectors.length !== table.ids.length * dim) {
    throw new RangeError(
      `${what}: ${table.vectors.length} values do not make ${table.ids.length} vectors of ${dim}`,
    );
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
