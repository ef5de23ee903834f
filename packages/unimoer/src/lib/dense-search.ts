import { type BeirSplit, DenseSearch, type Run } from '@unimoer/eval-beir';
import { CountedWarnings } from './counted-warnings.js';
import type { Io } from './io.js';
import type { ModelOptions } from './model-options.js';
import { withModel } from './open-model.js';

/** Documents embedded and searched at a time; bounds memory, never changes the result. */
const blockSize = 4096;

/** Exact dense search: embeds queries and documents with their prompts and keeps the best `top` a query. */
export function searchWithModel(
  io: Io,
  { corpus, queries }: BeirSplit,
  top: number,
  options: ModelOptions,
): Promise<Run> {
  return withModel(io, options, async (model) => {
    const { batchTokens } = options;
    const common = { batchTokens, signal: io.signal };
    const queryIds = [...queries.keys()];
    const embeddedQueries = await model.embed([...queries.values()], {
      ...common,
      task: 'query',
      names: queryIds.map((id) => `query ${JSON.stringify(id)}`),
    });
    const search = new DenseSearch(
      { ids: queryIds, vectors: embeddedQueries.vectors },
      corpus.ids,
      { dim: model.dim, top },
    );
    const total = corpus.ids.length;
    const progress = io.progress({ label: 'documents', total });
    const warnings = new CountedWarnings();
    for (let start = 0; start < total; start += blockSize) {
      const end = Math.min(total, start + blockSize);
      const { vectors, warnings: counted } = await model.embed(corpus.texts.slice(start, end), {
        ...common,
        task: 'document',
        names: corpus.ids.slice(start, end).map((id) => `document ${JSON.stringify(id)}`),
        onProgress: (done) => progress.update(start + done),
      });
      warnings.add(counted);
      search.add(vectors);
    }
    progress.finish(`embedded ${total} documents`);
    const ofQueries = new CountedWarnings();
    ofQueries.add(embeddedQueries.warnings);
    ofQueries.print(io, 'query', 'queries');
    warnings.print(io, 'document', 'documents');
    return search.finish();
  });
}
