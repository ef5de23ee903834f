import { type BeirSplit, type JsonlOptions, loadBeir } from '@unimoer/eval-beir';
import { type Command, Option } from 'commander';
import type { Io } from './io.js';

/** Options of commands that read one split of a BEIR folder. */
export interface DataOptions {
  data: string;
  split: string;
  onBadLine: 'error' | 'warn';
}

/** `--on-bad-line` of commands that read JSON lines. */
export function badLineOption(): Option {
  return new Option('--on-bad-line <action>', 'warn counts and skips lines that cannot be used')
    .choices(['error', 'warn'])
    .default('error');
}

/** Adds `--data`, `--split` and `--on-bad-line`. */
export function addDataOptions(command: Command): Command {
  return command
    .requiredOption('--data <dir>', 'BEIR folder: corpus.jsonl, queries.jsonl, qrels/ (or .gz)')
    .option('--split <name>', 'qrels/NAME.tsv decides which queries are used', 'test')
    .addOption(badLineOption());
}

/** How JSON lines are read under these options. */
export function jsonlOptions(io: Io, options: { onBadLine: 'error' | 'warn' }): JsonlOptions {
  return { onBadLine: options.onBadLine, onWarning: (message) => io.warn(message) };
}

/** Reads the split that the options name. */
export async function readSplit(io: Io, options: DataOptions): Promise<BeirSplit> {
  const split = await loadBeir(io.path(options.data), options.split, jsonlOptions(io, options));
  io.checkInterrupt();
  return split;
}
