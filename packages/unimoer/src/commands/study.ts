import type { Command } from 'commander';
import type { Io } from '../lib/io.js';
import { integer } from '../lib/options.js';

interface RunFlags {
  out?: string;
  profile?: string;
  jobs: number;
}

/** `unimoer study run|resume|report|plan`. */
export function register(program: Command, io: Io): void {
  const study = program
    .command('study')
    .description('run an interference study: plan, cells, statistics and report')
    .addHelpText(
      'after',
      `
Examples:
  $ unimoer study plan studies/quick.yaml
  $ unimoer study run studies/quick.yaml --out runs/quick
  $ unimoer study resume runs/quick
  $ unimoer study report runs/quick`,
    );

  study
    .command('run <file>')
    .description('run a study file in a new folder')
    .option('--out <dir>', 'folder of state and report (default: runs/<study name>)')
    .option('--profile <name>', 'profile of the file, such as quick or full')
    .option('--jobs <n>', 'cells computed at the same time', integer(1), 1)
    .addHelpText('after', '\nExample:\n  $ unimoer study run studies/quick.yaml --jobs 2')
    .action(async (file: string, flags: RunFlags) => {
      const { runStudy } = await import('../study/runner.js');
      await runStudy(file, flags, io);
    });

  study
    .command('resume <dir>')
    .description('continue a study that was interrupted; finished cells are kept')
    .option('--jobs <n>', 'cells computed at the same time', integer(1), 1)
    .addHelpText('after', '\nExample:\n  $ unimoer study resume runs/quick')
    .action(async (dir: string, flags: { jobs: number }) => {
      const { resumeStudy } = await import('../study/runner.js');
      await resumeStudy(dir, flags.jobs, io);
    });

  study
    .command('report <dir>')
    .description('write the report again from the cells that have finished')
    .addHelpText('after', '\nExample:\n  $ unimoer study report runs/quick')
    .action(async (dir: string) => {
      const { reportStudy } = await import('../study/runner.js');
      await reportStudy(dir, io);
    });

  study
    .command('plan <file>')
    .description('say what a study will compute, how long it takes and what it can detect')
    .option('--profile <name>', 'profile of the file, such as quick or full')
    .addHelpText('after', '\nExample:\n  $ unimoer study plan studies/quick.yaml --profile full')
    .action(async (file: string, flags: { profile?: string }) => {
      const { planStudy } = await import('../study/plan-command.js');
      await planStudy(file, flags.profile, io);
    });
}
