import { type BeirSplit, type Encoder, type Run, retrieve } from '@unimoer/eval-beir';
import { CountedWarnings } from './counted-warnings.js';
import type { Io } from './io.js';
import type { ModelOptions } from './model-options.js';
import { withModel } from './open-model.js';
import { plural } from './text.js';

/** Exact dense search: embeds queries and documents with their prompts and keeps the best `top` a query. */
export function searchWithModel(
  io: Io,
  split: BeirSplit,
  top: number,
  options: ModelOptions,
): Promise<Run> {
  return withModel(io, options, async (model) => {
    const total = split.corpus.ids.length;
    const progress = io.progress({ label: 'documents', total });
    const warnings = { query: new CountedWarnings(), document: new CountedWarnings() };
    let finished = 0;
    const encoder: Encoder = {
      dim: model.dim,
      async encode(texts, { role, ids }) {
        const result = await model.embed(texts, {
          task: role,
          batchTokens: options.batchTokens,
          signal: io.signal,
          names: ids.map((id) => `${role} ${JSON.stringify(id)}`),
          onProgress: (done) => role === 'document' && progress.update(finished + done),
        });
        warnings[role].add(result.warnings);
        return result.vectors;
      },
    };
    const run = await retrieve(encoder, split, {
      top,
      onProgress: (done) => {
        finished = done;
      },
    });
    progress.finish(`embedded ${plural(total, 'document')}`);
    warnings.query.print(io, 'query', 'queries');
    warnings.document.print(io, 'document', 'documents');
    return run;
  });
}
