import { runCli } from './run-cli.js';

/** npm and the terminal may both deliver one Ctrl-C: a second signal this soon is the same one. */
const sameSignalMilliseconds = 500;

/** A cell that cannot stop by itself is cut off after this long; its last checkpoint is kept. */
const graceMilliseconds = 9_000;

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** Runs the command line as this process: signals, closed pipes and the exit code. */
export async function runProcess(argv: readonly string[]): Promise<never> {
  const controller = new AbortController();
  let first = 0;
  const stop = (second: boolean): void => {
    if (controller.signal.aborted) {
      if (second && performance.now() - first > sameSignalMilliseconds) process.exit(130);
      return;
    }
    first = performance.now();
    controller.abort();
    setTimeout(() => process.exit(130), graceMilliseconds).unref();
  };
  process.on('SIGINT', () => stop(true));
  process.on('SIGTERM', () => stop(false));

  process.stdout.on('error', (error: Error) => {
    if (codeOf(error) === 'EPIPE') process.exit(0);
    process.stderr.write(`error: stdout: cannot be written (${error.message})\n`);
    process.exit(1);
  });
  process.stderr.on('error', () => {});

  const code = await runCli(argv, {
    stdout: process.stdout,
    stderr: process.stderr,
    cwd: process.cwd(),
    signal: controller.signal,
  });
  // Ends only after both streams took everything; an error of stdout exits in its handler above.
  await new Promise<void>((done) => process.stdout.write('', () => done()));
  await new Promise<void>((done) => process.stderr.write('', () => done()));
  process.exit(code);
}
