import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AdamW,
  atomicWrite,
  FormatError,
  InputError,
  type Parameter,
  readSafetensors,
  Tensor,
  writeSafetensors,
} from '@unimoer/core';
import { parameterEntries, readParameters } from '@unimoer/moe-lora';
import { onDisk } from './on-disk';
import type { BalanceWindow } from './router-losses';

const FORMAT = 1;
const NAME = /^step-(\d{6,})$/;

/** What a run is at a step boundary, apart from tensors. */
export interface RunState {
  /** Steps done. */
  step: number;
  tokens: number;
  flops: number;
  balance: BalanceWindow;
}

/**
 * The checkpoints of one run, each a folder `step-NNNNNN` with `state.json`, `parameters.safetensors` and
 * `optimizer.safetensors`. A folder appears under its name when it is complete and replaces the one before.
 */
export class Checkpoints {
  /** `identity` is the JSON of what decides the run; another one's checkpoints are refused. */
  constructor(
    private readonly dir: string,
    private readonly identity: string,
  ) {}

  /** Writes a checkpoint and removes older ones. Returns its path. */
  save(state: RunState, parameters: readonly Parameter[], optimizer: AdamW): string {
    const name = `step-${String(state.step).padStart(6, '0')}`;
    return onDisk(join(this.dir, name), () => this.write(name, state, parameters, optimizer));
  }

  private write(
    name: string,
    state: RunState,
    parameters: readonly Parameter[],
    optimizer: AdamW,
  ): string {
    const temporary = join(this.dir, `.${name}.tmp-${process.pid}`);
    const final = join(this.dir, name);
    try {
      rmSync(temporary, { recursive: true, force: true });
      mkdirSync(temporary, { recursive: true });
      writeSafetensors(join(temporary, 'parameters.safetensors'), parameterEntries(parameters));
      const { numbers, tensors } = split(optimizer.stateDict());
      writeSafetensors(join(temporary, 'optimizer.safetensors'), parameterEntries(tensors));
      const document = { format: FORMAT, identity: this.identity, optimizer: numbers, ...state };
      atomicWrite(join(temporary, 'state.json'), JSON.stringify(document));
      rmSync(final, { recursive: true, force: true });
      renameSync(temporary, final);
      this.removeExcept(name);
      return final;
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true });
      throw error;
    }
  }

  /** Loads the newest checkpoint into parameters and optimiser; null when there is none. */
  restore(parameters: readonly Parameter[], optimizer: AdamW): RunState | null {
    const newest = this.names().at(-1);
    if (newest === undefined) return null;
    const folder = join(this.dir, newest);
    const { format, identity, optimizer: numbers, ...state } = readState(folder);
    if (format !== FORMAT || identity !== this.identity) {
      throw new InputError({
        where: folder,
        got: 'a checkpoint of another configuration, model or data',
        expected: 'one of this run',
        remedy: 'use another output folder, or the configuration that it was written with',
      });
    }
    readParameters(join(folder, 'parameters.safetensors'), parameters);
    optimizer.loadStateDict({ ...numbers, ...readTensors(join(folder, 'optimizer.safetensors')) });
    return state;
  }

  /** Removes all checkpoints and what a killed process left half written. */
  clear(): void {
    this.removeExcept(null);
  }

  private names(): string[] {
    if (!existsSync(this.dir)) return [];
    return readdirSync(this.dir)
      .filter((name) => NAME.test(name))
      .sort((a, b) => Number(NAME.exec(a)![1]) - Number(NAME.exec(b)![1]));
  }

  private removeExcept(kept: string | null): void {
    if (!existsSync(this.dir)) return;
    for (const name of readdirSync(this.dir)) {
      const stale = NAME.test(name) || /^\.step-\d+\.tmp-\d+$/.test(name);
      if (stale && name !== kept) rmSync(join(this.dir, name), { recursive: true, force: true });
    }
  }
}

interface StoredState extends RunState {
  format: number;
  identity: string;
  optimizer: Record<string, number>;
}

function readState(folder: string): StoredState {
  const path = join(folder, 'state.json');
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as StoredState;
  } catch (error) {
    throw new FormatError(path, error instanceof Error ? error.message : String(error));
  }
}

function split(state: Record<string, Tensor | number>): {
  numbers: Record<string, number>;
  tensors: { name: string; tensor: Tensor }[];
} {
  const numbers: Record<string, number> = {};
  const tensors: { name: string; tensor: Tensor }[] = [];
  for (const [name, value] of Object.entries(state)) {
    if (value instanceof Tensor) tensors.push({ name, tensor: value });
    else numbers[name] = value;
  }
  return { numbers, tensors };
}

function readTensors(path: string): Record<string, Float32Array> {
  const file = readSafetensors(path);
  try {
    return Object.fromEntries(file.names().map((name) => [name, file.read(name)]));
  } finally {
    file.close();
  }
}
