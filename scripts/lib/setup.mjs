/** Brings a fresh clone to the point where everything runs: dependencies, native addon, built packages. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, runNode, say, step } from './steps.mjs';

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** What is missing or of another version in node_modules, or null when it agrees with the lock. */
function installProblem() {
  const installedFile = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(installedFile)) return 'no node_modules';
  const installed = readJson(installedFile).packages;
  for (const [location, entry] of Object.entries(
    readJson(join(root, 'package-lock.json')).packages,
  )) {
    if (!location.includes('node_modules/') || entry.optional) continue;
    if (!existsSync(join(root, location, 'package.json'))) return `${location} is missing`;
    if (!entry.link && installed[location]?.version !== entry.version) {
      return `${location} is not ${entry.version}`;
    }
  }
  return null;
}

/** Installs exactly what the lock file says, when something is missing. */
export async function install() {
  if (installProblem() === null) return;
  // npm names itself to the scripts it runs; alone, the one on PATH has to do.
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  await step('install', command, [
    ...first,
    'ci',
    '--include=dev',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
  ]);
}

/** Exit code of build-native.mjs for "no compiler here", which is not a failure. */
const noCompiler = 3;

/**
 * Builds the addon when its sources changed. Without it everything goes on with the reference backend, after one
 * line that says so. Returns `built`, `noCompiler` or `failed`.
 */
export async function buildNative() {
  const slow = setTimeout(
    () => say('building the native engine, once: one to two minutes on two cores'),
    3000,
  );
  const { code, output } = await runNode(['scripts/build-native.mjs']);
  clearTimeout(slow);
  const line = output.trim().split('\n').at(-1) ?? '';
  if (code === 0) {
    if (!line.endsWith('up to date')) say(line);
    return 'built';
  }
  // An explicit choice, so that no later process repeats the line.
  process.env.UNIMOER_BACKEND ??= 'reference';
  if (code === noCompiler) {
    say(`the slow reference backend runs: ${line.replace(/^native: /, '')}`);
    return 'noCompiler';
  }
  process.stderr.write(output);
  say('the native engine did not build (see above); the slow reference backend runs');
  return 'failed';
}

function* filesUnder(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesUnder(path);
    else yield path;
  }
}

/** Hash of everything that the build of the packages reads. */
function buildStamp(packages) {
  const hash = createHash('sha256');
  const add = (path) => hash.update(`${path.slice(root.length)}\0`).update(readFileSync(path));
  for (const file of ['package-lock.json', 'tsconfig.base.json', 'turbo.json'])
    add(join(root, file));
  for (const folder of packages) {
    for (const file of readdirSync(folder)
      .filter((name) => /\.(json|ts)$/.test(name))
      .sort()) {
      add(join(folder, file));
    }
    for (const file of [...filesUnder(join(folder, 'src'))].sort()) add(file);
  }
  return hash.digest('hex');
}

export function packageFolders() {
  const parent = join(root, 'packages');
  return readdirSync(parent)
    .sort()
    .map((name) => join(parent, name))
    .filter((folder) => existsSync(join(folder, 'package.json')));
}

/** Builds all packages when a source changed since the last build. */
export async function buildPackages() {
  const packages = packageFolders();
  const stampFile = join(root, 'node_modules/.cache/unimoer/build-stamp');
  const stamp = buildStamp(packages);
  const built = packages.every((folder) => existsSync(join(folder, 'dist/index.js')));
  if (built && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  await step('build', process.execPath, [
    join(root, 'node_modules/turbo/bin/turbo'),
    'run',
    'build',
    '--output-logs=errors-only',
  ]);
  mkdirSync(join(stampFile, '..'), { recursive: true });
  writeFileSync(stampFile, stamp);
}

/** All of the above; returns what became of the native engine. */
export async function setUp() {
  await install();
  const native = await buildNative();
  await buildPackages();
  return native;
}
