/** Every check and test of the repository, with one count at the end. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { packageFolders } from './setup.mjs';
import { root, run, runNode, say } from './steps.mjs';

const totals = { passed: 0, failed: 0, skipped: 0 };

/** A check that passes or fails as a whole and counts as one test. */
async function check(name, args, options) {
  const { code, output } = await runNode(args, options);
  if (code === 0) {
    totals.passed++;
    say(`ok ${name}`);
    return;
  }
  totals.failed++;
  process.stderr.write(output);
  say(`FAILED ${name} (exit code ${code})`);
}

/** Runs a folder's vitest suite; its own report is shown only when something failed. */
async function suite(folder, name) {
  const scratch = mkdtempSync(join(tmpdir(), 'unimoer-tests-'));
  const file = join(scratch, 'result.json');
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const start = performance.now();
  const { code, output } = await runNode(
    [vitest, 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`],
    { cwd: folder, env: { NO_COLOR: '1', VITE_CONFIG_NATIVE_IGNORE_WARNING: 'true' } },
  );
  const result = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null;
  rmSync(scratch, { recursive: true, force: true });
  const passed = result?.numPassedTests ?? 0;
  const skipped = (result?.numPendingTests ?? 0) + (result?.numTodoTests ?? 0);
  // A file that cannot be loaded, or a crashed worker, fails without a failed test.
  const failed = Math.max(result?.numFailedTests ?? 0, code === 0 ? 0 : 1);
  totals.passed += passed;
  totals.failed += failed;
  totals.skipped += skipped;
  if (failed > 0) process.stderr.write(output);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const rest = skipped > 0 ? `, ${skipped} skipped` : '';
  say(
    `${failed > 0 ? 'FAILED' : 'ok'} ${name}: ${passed} passed, ${failed} failed${rest} (${seconds} s)`,
  );
}

/** The C++ tests, each under every instruction set of this machine; they need a compiler and CMake. */
async function nativeTests(native) {
  if (native === 'failed') {
    totals.failed++;
    say('FAILED native engine: it does not build');
    return;
  }
  const cmake = await run('cmake', ['--version']);
  if (native === 'noCompiler' || cmake.code !== 0) {
    totals.skipped++;
    say('skipped native tests: they need a C++ compiler and CMake');
    return;
  }
  const { code, output } = await runNode(['scripts/test-native.mjs']);
  const lines = output.split('\n');
  const passed = lines.filter((line) => line.startsWith('ok ')).length;
  const counted = lines.filter((line) => line.startsWith('FAILED ')).length;
  const failed = Math.max(counted, code === 0 ? 0 : 1);
  totals.passed += passed;
  totals.failed += failed;
  if (failed > 0) process.stderr.write(output);
  say(`${failed > 0 ? 'FAILED' : 'ok'} native tests: ${passed} passed, ${failed} failed`);
}

const hasTests = (folder) =>
  existsSync(folder) && readdirSync(folder).some((name) => /\.test\.(ts|mjs)$/.test(name));

/** Runs everything and returns the exit code; `native` is what set-up says of the native engine. */
export async function runTests(native) {
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome');
  const turbo = join(root, 'node_modules/turbo/bin/turbo');
  await check('lock file is complete', ['scripts/complete-lock.mjs', '--check']);
  await check('format', [biome, 'format', '.']);
  await check('lint', [biome, 'lint', '.']);
  await check('types', [turbo, 'run', 'typecheck', '--output-logs=errors-only']);
  await check('types of the examples', [
    join(root, 'node_modules/typescript7/bin/tsc'),
    '-p',
    'tsconfig.examples.json',
  ]);
  await nativeTests(native);
  for (const folder of packageFolders()) {
    if (hasTests(join(folder, 'test')) || hasTests(join(folder, 'src'))) {
      await suite(folder, `packages/${basename(folder)}`);
    }
  }
  for (const name of ['scripts', 'examples', 'benchmarks']) {
    if (hasTests(join(root, name, 'test'))) await suite(join(root, name), name);
  }
  if (totals.skipped > 0) say(`${totals.skipped} skipped`);
  process.stdout.write(`${totals.passed} passed, ${totals.failed} failed\n`);
  return totals.failed > 0 ? 1 : 0;
}
