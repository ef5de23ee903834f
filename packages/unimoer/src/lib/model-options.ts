import { type Command, Option } from 'commander';
import { integer } from './options.js';

/** Options of every command that runs a model. */
export interface ModelOptions {
  model: string;
  adapter?: string;
  pooling?: 'mean' | 'last' | 'cls';
  maxLength?: number;
  batchTokens: number;
  dtype: 'f32' | 'bf16';
  weights?: 'int8' | 'int4';
  device: string;
  backend?: 'native' | 'reference';
  threads?: number;
}

const modelText = 'model folder, npm:PACKAGE or hf:ORG/NAME[@rev]';

/** Adds the options of {@link ModelOptions}. */
export function addModelOptions(command: Command, { required }: { required: boolean }): Command {
  const named = required
    ? command.requiredOption('--model <model>', modelText)
    : command.option('--model <model>', modelText);
  return named
    .option('--adapter <dir>', 'adapter folder: PEFT or ours, with a reranking head if it has one')
    .addOption(
      new Option('--pooling <mode>', "overrides the model folder's pooling").choices([
        'mean',
        'last',
        'cls',
      ]),
    )
    .option('--max-length <n>', 'tokens a text, special tokens included', integer(1))
    .option('--batch-tokens <n>', 'tokens a forward pass', integer(1), 8192)
    .addOption(
      new Option('--dtype <type>', 'weights and activations')
        .choices(['f32', 'bf16'])
        .default('f32'),
    )
    .addOption(
      new Option(
        '--weights <type>',
        'stores the linears in fewer bits and multiplies integers',
      ).choices(['int8', 'int4']),
    )
    .option('--device <name>', 'cpu or cuda:N', 'cpu')
    .addOption(
      new Option('--backend <name>', 'native, or the slow reference').choices([
        'native',
        'reference',
      ]),
    )
    .option('--threads <n>', '0 means all cores', integer(0));
}
