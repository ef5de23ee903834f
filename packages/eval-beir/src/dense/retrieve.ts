import type { Corpus, Queries } from '../beir/folder.js';
import type { Encoder } from '../encoder.js';
import type { Run } from '../trec/order.js';
import { DenseSearch } from './search.js';

/** How {@link retrieve} works through a collection. */
export interface RetrieveOptions {
  /** Documents kept for each query. */
  top: number;
  /** Documents encoded and searched at a time; bounds memory, never changes the result. Default 4096. */
  blockSize?: number;
  /** Called after each block with the number of documents done. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * Dense retrieval: encodes all queries, then the documents block by block, and keeps the best by inner product.
 * Vectors of documents are not kept. Errors as {@link DenseSearch} and the encoder's own.
 */
export async function retrieve(
  encoder: Encoder,
  { queries, corpus }: { queries: Queries; corpus: Corpus },
  options: RetrieveOptions,
): Promise<Run> {
  const { top, blockSize = 4096 } = options;
  const ids = [...queries.keys()];
  const vectors = await encoder.encode([...queries.values()], { role: 'query', ids });
  const search = new DenseSearch({ ids, vectors }, corpus.ids, { dim: encoder.dim, top });
  for (let start = 0; start < corpus.ids.length; start += blockSize) {
    const end = Math.min(corpus.ids.length, start + blockSize);
    search.add(
      await encoder.encode(corpus.texts.slice(start, end), {
        role: 'document',
        ids: corpus.ids.slice(start, end),
      }),
    );
    options.onProgress?.(end, corpus.ids.length);
  }
  return search.finish();
}
