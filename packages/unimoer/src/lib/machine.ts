import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { version } from './version.js';

/** What `unimoer doctor` found. Absent things are null or empty, never guessed. */
export interface MachineReport {
  versions: { unimoer: string; node: string; v8: string; napi: string };
  platform: string;
  cpu: { model: string; cores: number; availableCores: number; features: string[] };
  memory: { totalBytes: number; availableBytes: number };
  backend: {
    name: string | null;
    isa: string | null;
    threads: number | null;
    addonPath: string | null;
    /** Instruction-set paths of the addon that this processor can run. */
    availableIsas: string[];
    /** Why the native backend does not run. */
    reason: string | null;
  };
  /** First line that the C++ compiler says of itself. */
  compiler: string | null;
  gpu: { devices: string[]; usable: boolean };
  missing: { what: string; remedy: string }[];
}

/** Processor flags that decide which kernels can run. */
const interestingFlags = [
  'sse4_2',
  'avx',
  'fma',
  'f16c',
  'avx2',
  'avx512f',
  'avx512bw',
  'avx512vl',
  'avx512_vnni',
  'avx512_bf16',
  'amx_bf16',
  'amx_int8',
  'asimd',
  'bf16',
  'sve',
];

/** Looks at processor, memory, backend, compiler and GPU. Never throws. */
export async function inspectMachine(): Promise<MachineReport> {
  const backend = await inspectBackend();
  const compiler = findCompiler();
  const devices = findGpus();
  return {
    versions: {
      unimoer: version,
      node: process.versions.node,
      v8: process.versions.v8,
      napi: process.versions.napi ?? '',
    },
    platform: `${process.platform}-${process.arch}`,
    cpu: {
      model: cpus()[0]?.model.trim() ?? 'unknown',
      cores: cpus().length,
      availableCores: availableParallelism(),
      features: cpuFeatures(),
    },
    memory: { totalBytes: totalmem(), availableBytes: availableMemory() },
    backend,
    compiler,
    gpu: { devices, usable: false },
    missing: listMissing(backend, compiler, devices),
  };
}

async function inspectBackend(): Promise<MachineReport['backend']> {
  const none = { name: null, isa: null, threads: null, addonPath: null, availableIsas: [] };
  try {
    const { backendInfo } = await import('@unimoer/core');
    const info = backendInfo();
    return {
      name: info.name,
      isa: info.isa,
      threads: info.threads,
      addonPath: info.addonPath,
      availableIsas: info.addonPath === null ? [] : addonIsas(info.addonPath),
      reason: info.reason ?? null,
    };
  } catch (error) {
    return { ...none, reason: error instanceof Error ? error.message : String(error) };
  }
}

function addonIsas(path: string): string[] {
  const addon: { availableIsas?: () => string[] } = createRequire(import.meta.url)(path);
  return addon.availableIsas?.() ?? [];
}

function cpuFeatures(): string[] {
  const text = readOrEmpty('/proc/cpuinfo');
  const line = /^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1] ?? '';
  const flags = new Set(line.trim().split(/\s+/));
  return interestingFlags.filter((flag) => flags.has(flag));
}

function availableMemory(): number {
  const kilobytes = /^MemAvailable:\s+(\d+) kB$/m.exec(readOrEmpty('/proc/meminfo'))?.[1];
  return kilobytes === undefined ? freemem() : Number(kilobytes) * 1024;
}

function findCompiler(): string | null {
  const wish = process.env.CXX ? [process.env.CXX] : [];
  for (const command of [...wish, 'c++', 'g++', 'clang++']) {
    const { status, stdout } = spawnSync(command, ['--version'], {
      encoding: 'utf8',
      timeout: 10_000,
    });
    if (status === 0) return stdout.split('\n')[0]!.trim();
  }
  return null;
}

function findGpus(): string[] {
  try {
    return readdirSync('/proc/driver/nvidia/gpus').map((name) => {
      const text = readOrEmpty(`/proc/driver/nvidia/gpus/${name}/information`);
      return /^Model:\s*(.*)$/m.exec(text)?.[1] ?? name;
    });
  } catch {
    return [];
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function listMissing(
  backend: MachineReport['backend'],
  compiler: string | null,
  gpus: readonly string[],
): MachineReport['missing'] {
  const missing: MachineReport['missing'] = [];
  if (backend.addonPath === null && backend.reason !== null) {
    missing.push({
      what: 'native CPU backend',
      remedy: compiler
        ? 'run `npm run build:native`'
        : 'install a C++17 compiler (Debian, Ubuntu: apt install g++), then run `npm run build:native`',
    });
  }
  if (gpus.length > 0) {
    missing.push({
      what: 'GPU support',
      remedy: 'this version computes on the processor only; nothing needs to be done',
    });
  }
  return missing;
}
