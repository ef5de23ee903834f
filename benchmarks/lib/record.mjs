/** Writes benchmarks/results/<machine>/<date>-<name>.json with what is needed to repeat the run. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { backendInfo } from '@unimoer/core';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const python = process.env.UNIMOER_PYTHON ?? 'python3';

export function peerVersions() {
  try {
    const script = join(root, 'benchmarks/baselines/pytorch/versions.py');
    return JSON.parse(
      execFileSync(python, [script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
    );
  } catch {
    return null;
  }
}

/** The instruction set that the engine chooses on this machine. */
export const machineIsa = backendInfo().isa;

const machineName = () =>
  process.env.UNIMOER_MACHINE ??
  `${cpus()[0]
    .model.replaceAll(/[^A-Za-z0-9]+/g, '-')
    .toLowerCase()
    .replaceAll(/^-+|-+$/g, '')}-${machineIsa}-${availableParallelism()}c`;

const commit = () => {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: root,
      encoding: 'utf8',
    }).trim();
  } catch {
    return null;
  }
};

export function record(name, body) {
  const folder = join(root, 'benchmarks/results', machineName());
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${new Date().toISOString().slice(0, 10)}-${name}.json`);
  const document = {
    benchmark: name,
    machine: {
      cpu: cpus()[0].model,
      isa: machineIsa,
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
    },
    versions: { node: process.version, peer: peerVersions(), commit: commit() },
    ...body,
  };
  writeFileSync(`${file}.tmp`, `${JSON.stringify(document, null, 2)}\n`);
  renameSync(`${file}.tmp`, file);
  console.error(`wrote ${file.slice(root.length + 1)}`);
}
