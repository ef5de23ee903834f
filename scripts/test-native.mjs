/**
 * Builds native/tests/*.cpp and runs them under every instruction set of this machine.
 *
 *   node scripts/test-native.mjs [--sanitize address,undefined | --sanitize thread] [NAME...]
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values, positionals } = parseArgs({
  options: { sanitize: { type: 'string', default: '' } },
  allowPositionals: true,
});
const sanitize = values.sanitize;
const folder = join(root, 'native', `build-tests${sanitize && `-${sanitize.replace(',', '-')}`}`);

function step(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (result.status === 0) return result;
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
  console.error(
    `error: ${command} failed (${result.error?.message ?? result.signal ?? `exit code ${result.status}`})`,
  );
  process.exit(1);
}

const ninja = spawnSync('ninja', ['--version']).status === 0 ? ['-G', 'Ninja'] : [];
step('cmake', [
  ...['-S', join(root, 'native'), '-B', folder, ...ninja],
  ...['-DUNIMOER_TESTS=ON', `-DUNIMOER_SANITIZE=${sanitize}`],
]);
step('cmake', ['--build', folder, '--parallel', String(availableParallelism())]);

const names = readdirSync(join(root, 'native', 'tests'))
  .filter((name) => name.startsWith('test_') && name.endsWith('.cpp'))
  .map((name) => name.slice(0, -4))
  .filter((name) => positionals.length === 0 || positionals.includes(name));
const env = {
  ...process.env,
  ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=0',
  UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
  TSAN_OPTIONS: 'halt_on_error=1',
};
for (const name of names) {
  const program = join(folder, name);
  if (!existsSync(program)) throw new Error(`${program} was not built`);
  const started = Date.now();
  const result = step(program, [], { env });
  const lines = result.stdout.trim().split('\n');
  console.log(`${name}: ${lines.join('; ')} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
}
