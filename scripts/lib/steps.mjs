/** Child processes and one-line messages for scripts/run.mjs. */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Progress goes to stderr, so that stdout belongs to what was asked for. */
export const say = (line) => process.stderr.write(`${line}\n`);

export class StepError extends Error {}

/** The running child; a signal ends it together with this process. */
let current = null;

function stop() {
  current?.kill('SIGTERM');
  process.exit(130);
}
process.on('SIGINT', stop);
process.on('SIGTERM', stop);

/** Leaves signals to the command that goes on inside this process. */
export function handOver() {
  process.off('SIGINT', stop);
  process.off('SIGTERM', stop);
}

/**
 * Runs a command. With `quiet` its output is kept and returned, else it goes to stderr.
 * Resolves to { code, output }; a command that cannot be started has code 127.
 */
export function run(command, args, { quiet = true, env = {}, cwd = root } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1', npm_config_loglevel: 'error', ...env },
      stdio: ['ignore', quiet ? 'pipe' : process.stderr, quiet ? 'pipe' : process.stderr],
    });
    current = child;
    let output = '';
    const end = (code) => {
      current = null;
      resolve({ code, output });
    };
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    }
    child.on('error', (error) => {
      output += error.message;
      end(127);
    });
    child.on('close', (code) => end(code ?? 1));
  });
}

export const runNode = (args, options) => run(process.execPath, args, options);

/** Runs one set-up step quietly; its output is shown only when it fails. */
export async function step(name, command, args, options) {
  const start = performance.now();
  const { code, output } = await run(command, args, options);
  if (code !== 0) {
    process.stderr.write(output);
    throw new StepError(`${name} failed with exit code ${code}; its output is above`);
  }
  say(`${name}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
}
