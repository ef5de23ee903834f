/**
 * Builds the native CPU engine into native/build/Release/unimoer_cpu.node, if its sources changed.
 * With CMake when there is one (and Ninja if present), else with the compiler alone, from the same
 * list native/sources.json. Needs no dependency but node-api-headers and downloads nothing.
 *
 *   node scripts/build-native.mjs [--force] [--no-cmake] [--verbose]
 *
 * Exit code: 0 built or up to date, 1 the build failed, 3 there is no C++ compiler.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const native = join(root, 'native');
const build = join(native, 'build');
const log = join(build, 'build.log');
const addon = join(build, 'Release', 'unimoer_cpu.node');
const stamp = join(build, 'stamp');
const lock = join(native, 'build', 'lock');
const flags = new Set(process.argv.slice(2));

class BuildError extends Error {
  constructor(message, code = 1) {
    super(message);
    this.code = code;
  }
}

function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) =>
      entry.isDirectory() ? filesUnder(join(folder, entry.name)) : [join(folder, entry.name)],
    )
    .sort();
}

function sourceHash(compiler) {
  const hash = createHash('sha256');
  hash.update(`${process.platform} ${process.arch} ${compiler.command} ${compiler.version}\n`);
  const parts = ['include', 'engine', 'binding', 'cpu'].map((part) => join(native, part));
  const files = [
    ...parts.flatMap(filesUnder),
    join(native, 'sources.json'),
    join(native, 'CMakeLists.txt'),
    fileURLToPath(import.meta.url),
  ];
  for (const file of files) {
    hash.update(`${relative(root, file)}\n`);
    hash.update(readFileSync(file));
  }
  return hash.digest('hex');
}

function version(command) {
  const result = spawnSync(command, ['--version'], { encoding: 'utf8' });
  return result.status === 0 ? (result.stdout.split('\n')[0] ?? '').trim() : undefined;
}

function findCompiler() {
  const candidates = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'];
  for (const command of candidates) {
    const found = version(command);
    if (found) return { command, version: found };
  }
  throw new BuildError(
    process.env.CXX
      ? `no C++ compiler: CXX=${process.env.CXX} does not run; unset it or name one that does`
      : 'no C++ compiler (tried c++, g++, clang++); install one, for example `apt install g++`, for the native engine',
    3,
  );
}

/** Runs a command with its output in the log; resolves with its exit code. */
function logged(command, args) {
  appendFileSync(log, `\n$ ${command} ${args.join(' ')}\n`);
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: native });
    const take = (chunk) => {
      appendFileSync(log, chunk);
      if (flags.has('--verbose')) process.stderr.write(chunk);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', (error) => {
      appendFileSync(log, `${error.message}\n`);
      resolve(127);
    });
    child.on('close', (code) => resolve(code ?? 1));
  });
}

async function checked(command, args) {
  const code = await logged(command, args);
  if (code === 0) return;
  const lines = readFileSync(log, 'utf8').split('\n');
  const first = lines.find((line) => /\b(error|Error)\b/.test(line));
  throw new BuildError(
    `${basename(command)} failed${first ? `: ${first.trim()}` : ''}; see ${relative(root, log)}`,
  );
}

async function buildWithCmake(compiler) {
  const folder = join(build, 'cmake');
  const ninja = version('ninja') ? ['-G', 'Ninja'] : [];
  const cache = join(folder, 'CMakeCache.txt');
  if (existsSync(cache)) {
    const generator = /^CMAKE_GENERATOR:INTERNAL=(.*)$/m.exec(readFileSync(cache, 'utf8'))?.[1];
    if ((generator === 'Ninja') !== ninja.length > 0) rmSync(folder, { recursive: true });
  }
  const node = `-DNODE_EXECUTABLE=${process.execPath}`;
  const cxx = `-DCMAKE_CXX_COMPILER=${compiler.command}`;
  // CMake without a build tool cannot configure; the compiler alone can still build.
  if ((await logged('cmake', ['-S', native, '-B', folder, ...ninja, cxx, node])) !== 0) return null;
  await checked('cmake', ['--build', folder, '--parallel', String(availableParallelism())]);
  return join(folder, 'Release', 'unimoer_cpu.node');
}

/** Every object of the build: its source, its object file and the options of its kind. */
function compileJobs(sources, folder, headers) {
  const include = join(folder, 'generated');
  const cppFiles = (directories) =>
    directories
      .flatMap((directory) =>
        readdirSync(join(native, directory)).map((name) => join(native, directory, name)),
      )
      .filter((file) => file.endsWith('.cpp'))
      .sort();
  const kernelFiles = cppFiles(sources.isaDirectories);
  const isaFiles = [...kernelFiles, ...cppFiles(sources.isaSupportDirectories)];
  mkdirSync(join(include, 'unimoer'), { recursive: true });
  const stems = kernelFiles.map((file) => basename(file, '.cpp'));
  writeFileSync(
    join(include, 'unimoer', 'registrations.h'),
    `#define UNIMOER_REGISTRATIONS(X)${stems.map((stem) => ` X(${stem})`).join('')}\n`,
  );
  const common = [
    ...sources.flags,
    '-std=gnu++20',
    '-DNDEBUG',
    '-fPIC',
    '-pthread',
    ...(process.arch === 'x64' ? ['-DUNIMOER_X86'] : []),
    ...['include', '.'].map((part) => `-I${join(native, part)}`),
    `-I${include}`,
  ];
  const jobs = [...sources.engine, ...sources.binding].map((source) => ({
    source: join(native, source),
    object: join(folder, `${basename(source, '.cpp')}.o`),
    options: [...common, '-isystem', headers],
  }));
  const isas = sources.isas.filter((isa) => isa.name === 'portable' || process.arch === 'x64');
  for (const isa of isas) {
    for (const source of isaFiles) {
      jobs.push({
        source,
        object: join(folder, `${basename(source, '.cpp')}.${isa.name}.o`),
        options: [...common, ...isa.flags, ...sources.isaFlags, `-DUNIMOER_ISA_NS=${isa.name}`],
      });
    }
  }
  return jobs;
}

async function buildWithCompiler(compiler, headers) {
  const folder = join(build, 'direct');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const sources = JSON.parse(readFileSync(join(native, 'sources.json'), 'utf8'));
  const jobs = compileJobs(sources, folder, headers);
  const waiting = [...jobs];
  const worker = async () => {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      await checked(compiler.command, [...job.options, '-c', job.source, '-o', job.object]);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  const output = join(folder, 'unimoer_cpu.node');
  const link =
    process.platform === 'darwin'
      ? ['-bundle', '-undefined', 'dynamic_lookup']
      : ['-shared', '-Wl,--exclude-libs,ALL'];
  const objects = jobs.map((job) => job.object);
  await checked(compiler.command, [...link, '-pthread', ...objects, '-o', output]);
  return output;
}

function headersFolder() {
  try {
    const require = createRequire(join(native, 'package.json'));
    return join(dirname(require.resolve('node-api-headers/package.json')), 'include');
  } catch {
    throw new BuildError('node-api-headers is not installed; run `npm ci` in the repository first');
  }
}

/** Lets one build run at a time; the lock of a process that is gone does not count. */
async function takeLock() {
  mkdirSync(build, { recursive: true });
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      process.on('exit', () => rmSync(lock, { force: true }));
      for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    try {
      process.kill(Number(readFileSync(lock, 'utf8')), 0);
    } catch (error) {
      if (error.code === 'ESRCH') rmSync(lock, { force: true });
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function upToDate(hash) {
  return (
    !flags.has('--force') &&
    existsSync(addon) &&
    existsSync(stamp) &&
    readFileSync(stamp, 'utf8') === hash
  );
}

async function main() {
  const compiler = findCompiler();
  if (upToDate(sourceHash(compiler))) return 'up to date';
  await takeLock();
  const hash = sourceHash(compiler);
  if (upToDate(hash)) return 'up to date';
  const headers = headersFolder();
  writeFileSync(log, `${compiler.version}\n`);
  const started = Date.now();
  const cmake = !flags.has('--no-cmake') && version('cmake');
  const byCmake = cmake ? await buildWithCmake(compiler) : null;
  const output = byCmake ?? (await buildWithCompiler(compiler, headers));
  mkdirSync(dirname(addon), { recursive: true });
  // A process may have the old addon mapped: it keeps its file, the name moves on.
  const next = `${addon}.${process.pid}`;
  copyFileSync(output, next);
  renameSync(next, addon);
  writeFileSync(stamp, hash);
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  return `built ${relative(root, addon)} in ${seconds} s (${byCmake ? 'cmake' : 'compiler only'}, ${compiler.version})`;
}

try {
  console.log(`native: ${await main()}`);
} catch (error) {
  console.error(`native: ${error.message}`);
  process.exitCode = error instanceof BuildError ? error.code : 1;
}
