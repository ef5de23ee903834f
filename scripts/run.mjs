/**
 * The commands of the README. Each sets up what is missing first, straight after `git clone`.
 *
 *   npm run study [-- FILE.yaml] [-- options of `unimoer study run`]   the interference study
 *   npm test                                                           every check and test
 *   npm run bench -- NAME [arguments]                                  one benchmark
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { setUp } from './lib/setup.mjs';
import { handOver, root, run, StepError, say } from './lib/steps.mjs';
import { runTests } from './lib/tests.mjs';

/** Continues inside this process as the command line, so that signals and exit code are its own. */
async function unimoer(args) {
  handOver();
  process.argv = [process.execPath, 'unimoer', ...args];
  await import('../packages/unimoer/dist/cli.js');
}

async function study(args) {
  await setUp();
  const [file, ...options] =
    args[0]?.startsWith('-') === false ? args : ['studies/quick.yaml', ...args];
  const path = resolve(file);
  const out = options.indexOf('--out');
  const name = existsSync(path)
    ? /^name:\s*(\S+)/m.exec(readFileSync(path, 'utf8'))?.[1]
    : undefined;
  const folder = out >= 0 ? resolve(options[out + 1] ?? '') : resolve('runs', name ?? '');
  const state = join(folder, 'state.json');
  if (!existsSync(state)) return unimoer(['study', 'run', path, ...options]);
  const shown = relative(process.cwd(), folder);
  if (JSON.parse(readFileSync(state, 'utf8')).status === 'finished') {
    say(`this study has finished; its report is in ${shown}/report`);
    say(`to run it afresh, remove ${shown} and repeat the command`);
    return undefined;
  }
  say(`continuing the study in ${shown}`);
  return unimoer(['study', 'resume', folder]);
}

async function bench([name, ...args]) {
  const folder = join(root, 'benchmarks');
  const found = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !['lib', 'results', 'baselines'].includes(entry.name))
    .flatMap((entry) =>
      readdirSync(join(folder, entry.name))
        .filter((file) => /\.(mjs|ts)$/.test(file))
        .map((file) => ({ file: join(folder, entry.name, file), name: file.split('.')[0] })),
    );
  const match = found.find((candidate) => candidate.name === name);
  if (!match) {
    say(
      `error: benchmark: got ${name ?? 'none'}, expected one of ${found.map((b) => b.name).join(', ')}`,
    );
    process.exit(2);
  }
  await setUp();
  const { code } = await run(
    process.execPath,
    ['--import', 'tsx', '--conditions=@unimoer/source', match.file, ...args],
    { quiet: false },
  );
  process.exit(code);
}

const [command, ...args] = process.argv.slice(2);
try {
  if (command === 'study') await study(args);
  else if (command === 'bench') await bench(args);
  else if (command === 'test') {
    process.exit(await runTests(await setUp()));
  } else {
    say(`error: COMMAND: got ${command ?? 'none'}, expected study, test or bench`);
    process.exit(2);
  }
} catch (error) {
  say(`error: ${error instanceof StepError ? error.message : error.stack}`);
  process.exit(1);
}
