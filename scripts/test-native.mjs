/**
 * Builds native/tests/*.cpp and runs the tests under every instruction set of this machine.
 *
 *   node scripts/test-native.mjs [--emulate] [--sanitize address,undefined | --sanitize thread] [NAME...]
 *
 * --emulate: under AVX-512 and AVX-512 with BF16 instead, emulated on a processor with AVX2.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function step(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (result.status === 0) return;
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
  console.error(
    `error: ${command} failed (${result.error?.message ?? result.signal ?? `exit code ${result.status}`})`,
  );
  process.exit(1);
}

/** Builds the named programs of native/tests and returns their paths by name. */
export function buildNativeTests(sanitize, names, emulate = false) {
  const kind = [
    'build-tests',
    ...(emulate ? ['emulated'] : []),
    ...sanitize.split(',').filter(Boolean),
  ];
  const folder = join(root, 'native', kind.join('-'));
  const ninja = spawnSync('ninja', ['--version']).status === 0 ? ['-G', 'Ninja'] : [];
  const source = ['-S', join(root, 'native'), '-B', folder];
  // Races are in the pool and the engine, whatever the instruction set: one build will do.
  const options = [
    '-DUNIMOER_TESTS=ON',
    `-DUNIMOER_SANITIZE=${sanitize}`,
    `-DUNIMOER_PORTABLE_ONLY=${sanitize === 'thread' && !emulate ? 'ON' : 'OFF'}`,
    `-DUNIMOER_EMULATE=${emulate ? 'ON' : 'OFF'}`,
  ];
  step('cmake', [...source, ...ninja, ...options]);
  const targets = names.flatMap((name) => ['--target', name]);
  step('cmake', ['--build', folder, '--parallel', String(availableParallelism()), ...targets]);
  return new Map(names.map((name) => [name, join(folder, name)]));
}

function main() {
  const { values, positionals } = parseArgs({
    options: {
      sanitize: { type: 'string', default: '' },
      emulate: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  const all = readdirSync(join(root, 'native', 'tests'))
    .filter((name) => name.startsWith('test_') && name.endsWith('.cpp'))
    .map((name) => name.slice(0, -'.cpp'.length));
  const unknown = positionals.find((name) => !all.includes(name));
  if (unknown !== undefined) {
    console.error(`error: no native test '${unknown}'; there are ${all.join(', ')}`);
    process.exitCode = 2;
    return;
  }
  const names = positionals.length === 0 ? all : positionals;
  const env = {
    ...process.env,
    ASAN_OPTIONS: 'detect_leaks=1',
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    TSAN_OPTIONS: 'halt_on_error=1',
  };
  let failed = 0;
  if (!values.sanitize && !values.emulate && positionals.length === 0) {
    const options = { encoding: 'utf8', cwd: root };
    const built = spawnSync(process.execPath, ['scripts/build-native.mjs'], options);
    const addon = spawnSync(process.execPath, ['--test', 'native/tests/addon.test.mjs'], options);
    if (built.status === 0 && addon.status === 0) {
      console.log(`ok addon (${/^# pass \d+$/m.exec(addon.stdout)?.[0].slice(2)})`);
    } else {
      failed++;
      process.stderr.write(`${built.stderr}${addon.stdout}`);
      console.log('FAILED addon');
    }
  }
  for (const [name, program] of buildNativeTests(values.sanitize, names, values.emulate)) {
    const started = Date.now();
    const result = spawnSync(program, [], { encoding: 'utf8', maxBuffer: 1 << 28, env });
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    if (result.status === 0) {
      console.log(`ok ${name} (${result.stdout.trim().split('\n').join(', ')}; ${seconds} s)`);
      continue;
    }
    failed++;
    process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
    console.log(`FAILED ${name} (${result.signal ?? `exit code ${result.status}`})`);
  }
  process.exitCode = failed > 0 ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
