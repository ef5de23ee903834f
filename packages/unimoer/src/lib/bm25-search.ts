import { type BeirSplit, Bm25Builder, type Bm25Options, type Run } from '@unimoer/eval-beir';
import type { Io } from './io.js';
import { pauses } from './pause.js';
import { plural } from './text.js';

/** Indexes the corpus and searches for every query; queries that match nothing are left out, with a counted warning. */
export async function searchBm25(
  io: Io,
  { corpus, queries }: BeirSplit,
  top: number,
  options: Bm25Options,
): Promise<Run> {
  const pause = pauses(io);
  const indexing = io.progress({ label: 'index', total: corpus.ids.length });
  const builder = new Bm25Builder(options);
  for (let i = 0; i < corpus.ids.length; i++) {
    builder.add(corpus.ids[i]!, corpus.texts[i]!);
    indexing.update(i + 1);
    await pause();
  }
  indexing.finish(`indexed ${plural(corpus.ids.length, 'document')}`);
  const bm25 = builder.finish();
  const searching = io.progress({ label: 'search', total: queries.size });
  const run: Run = new Map();
  let done = 0;
  for (const [id, text] of queries) {
    const documents = bm25.search(text, top);
    if (documents.length > 0) run.set(id, documents);
    done += 1;
    searching.update(done);
    await pause();
  }
  searching.finish();
  const unmatched = queries.size - run.size;
  if (unmatched > 0) io.warn(`${plural(unmatched, 'query', 'queries')} matched no document`);
  return run;
}
