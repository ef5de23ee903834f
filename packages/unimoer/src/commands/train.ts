import type { Command } from 'commander';
import type { Io } from '../lib/io.js';

/** `unimoer train FILE.yaml`. */
export function register(program: Command, io: Io): void {
  program
    .command('train <file>')
    .description(
      'train one arm; writes metrics.jsonl, checkpoints, config.resolved.yaml and adapter',
    )
    .option('--out <dir>', 'folder of the run (default: runs/<name>)')
    .option('--resume', 'continue from the newest checkpoint in the folder')
    .addHelpText('after', '\nExample:\n  $ unimoer train studies/train-embed.yaml --out runs/embed')
    .action(async (file: string, flags: { out?: string; resume?: boolean }) => {
      const { trainFromFile } = await import('../study/train-command.js');
      await trainFromFile(file, flags, io);
    });
}
