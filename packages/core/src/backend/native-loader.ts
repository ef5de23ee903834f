/** Finds the CPU addon: UNIMOER_CPU_ADDON, then this repository's build, then the platform package. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MemoryStats } from './types';

/** What the addon exports. Arguments of launch travel through the two shared arrays. */
export interface NativeAddon {
  readonly abi: number;
  readonly kernels: readonly string[];
  readonly handleArgs: Int32Array;
  readonly numArgs: Float64Array;
  launch(id: number, buffers: number, args: number): number;
  lastError(): string;
  alloc(bytes: number): number;
  free(handle: number): void;
  write(handle: number, data: ArrayBufferView, byteOffset: number): void;
  read(handle: number, out: ArrayBufferView, byteOffset: number): void;
  packedBytes(dtype: number, n: number, k: number): number;
  quantizedBytes(bits: number, group: number, n: number, k: number): number;
  memory(): MemoryStats;
  resetPeak(): void;
  setThreads(n: number): void;
  threads(): number;
  isa(): string;
  availableIsas(): string[];
}

/** Addon interface version that this loader speaks. */
export const addonAbi = 1;

export interface LoadedAddon {
  addon: NativeAddon | null;
  path: string | null;
  reason: string | null;
}

const addonFile = join('native', 'build', 'Release', 'unimoer_cpu.node');

export function loadAddon(): LoadedAddon {
  const require = createRequire(import.meta.url);
  const failures: string[] = [];
  for (const path of candidates(require)) {
    try {
      const addon = require(path) as NativeAddon;
      if (addon.abi === addonAbi) return { addon, path, reason: null };
      failures.push(`the addon ${path} speaks ABI ${addon.abi}, not ${addonAbi}; rebuild it`);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      failures.push(`the addon ${path} does not load (${message.split('\n')[0]})`);
    }
  }
  const reason = failures[0] ?? 'the native CPU addon is not built';
  return { addon: null, path: null, reason };
}

function candidates(require: NodeJS.Require): string[] {
  const wish = process.env.UNIMOER_CPU_ADDON;
  if (wish) return [resolve(wish)];
  const found: string[] = [];
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let up = 0; up < 6; up++) {
    const path = join(folder, addonFile);
    if (existsSync(path)) found.push(path);
    folder = dirname(folder);
  }
  const platform = `@unimoer/core-${process.platform}-${process.arch}`;
  try {
    found.push(require.resolve(`${platform}/unimoer_cpu.node`));
  } catch {
    // The platform package is optional.
  }
  return found;
}
