import { arch, cpus, platform, release, totalmem } from 'node:os';
import { backendInfo } from '@unimoer/core';
import { version } from '../lib/version.js';
import type { Json } from '../report/types.js';

/** What this machine and this installation are; part of the report that may differ between runs. */
export function environment(peakBytes: readonly number[]): { [key: string]: Json } {
  const info = backendInfo();
  return {
    unimoer: version,
    node: process.version,
    system: `${platform()} ${release()} ${arch()}`,
    processor: cpus()[0]?.model ?? 'unknown',
    processors: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    backend: info.name,
    instructions: info.isa,
    threads: info.threads,
    peakMemoryMiB: Math.round(Math.max(0, ...peakBytes) / 2 ** 20),
  };
}

/** The part of the engine that decides the last bits of a result. */
export function engineName(): string {
  const { name, isa } = backendInfo();
  return `${name}/${isa}`;
}
