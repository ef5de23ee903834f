import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Backend,
  FrozenWeight,
  InputError,
  keep,
  Linear,
  openCheckpoint,
  type QuantizeOptions,
  readSafetensors,
  type Tensor,
  type TensorSource,
  tensor,
} from '@unimoer/core';
import { Fields } from './json-file';

export type ComputeDType = 'f32' | 'bf16';

/** Storage of the linears' weights in fewer bits; the names alone stand for the defaults of QuantizeOptions. */
export type QuantizedWeights = 'int8' | 'int4' | QuantizeOptions;

const FLOATS = ['F32', 'F16', 'BF16'];

/** Stored tensors that a backbone does not need and nobody misses. */
const HARMLESS = [
  /(^|\.)position_ids$/,
  /(^|\.)rotary_emb\.inv_freq$/,
  /^pooler\.dense\.(weight|bias)$/,
];

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/** Weight files of a folder: model.safetensors, the shards of its index, or the only other *.safetensors file. */
export function weightFiles(folder: string): string[] {
  if (existsSync(join(folder, SINGLE))) return [join(folder, SINGLE)];
  const index = Fields.readOptional(join(folder, INDEX));
  if (index) {
    const shards = new Set(index.stringMap('weight_map').values());
    return [...shards].sort().map((name) => join(folder, name));
  }
  const others = readdirSync(folder)
    .filter((name) => name.endsWith('.safetensors') && !name.startsWith('adapter_'))
    .sort();
  if (others.length === 1) return [join(folder, others[0]!)];
  throw new InputError({
    where: folder,
    got: others.length === 0 ? 'no safetensors file' : others.join(', '),
    expected: `${SINGLE}, ${INDEX} or a single *.safetensors file`,
    remedy: 'convert or rename the weights',
  });
}

export function openWeights(folder: string): TensorSource {
  const named = [SINGLE, INDEX].some((name) => existsSync(join(folder, name)));
  return named ? openCheckpoint(folder) : readSafetensors(weightFiles(folder)[0]!);
}

/**
 * Reads the weights of a model by their canonical names, whatever prefix the file gives them, checks shape,
 * dtype and NaN, and keeps count of what was used. All tensors it makes outlive scopes; `dispose` frees them.
 */
export class WeightReader {
  readonly created: { dispose(): void }[] = [];
  /** How linears are quantised, null where they are stored in dtype. */
  readonly quantized: QuantizeOptions | null;
  private readonly stored = new Map<string, string>();
  private readonly used = new Set<string>();

  constructor(
    readonly folder: string,
    private readonly checkpoint: TensorSource,
    private readonly prefixes: readonly string[],
    readonly dtype: ComputeDType,
    readonly backend: Backend,
    private readonly forBackward: boolean,
    weights: QuantizedWeights | null = null,
  ) {
    this.quantized = typeof weights === 'string' ? { dtype: weights } : weights;
    for (const name of checkpoint.names()) this.stored.set(this.canonical(name), name);
  }

  has(name: string): boolean {
    return this.stored.has(name);
  }

  /** Marks a tensor as known without reading it. */
  ignore(name: string): void {
    this.used.add(name);
  }

  shapeOf(name: string): readonly number[] {
    return this.checkpoint.info(this.storedName(name, null)).shape;
  }

  /** Values of a tensor as f32. Throws InputError for absence, shape, dtype or NaN. */
  values(name: string, shape: readonly number[]): Float32Array {
    const values = this.unchecked(name, shape);
    // A sum is NaN or infinite as soon as one term is; only then is the place looked for.
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[i]!;
    const at = Number.isFinite(sum) ? -1 : values.findIndex((value) => !Number.isFinite(value));
    if (at >= 0) throw this.fail(name, `${values[at]} at index ${at}`, 'finite weights');
    return values;
  }

  private unchecked(name: string, shape: readonly number[]): Float32Array {
    const stored = this.storedName(name, shape);
    const info = this.checkpoint.info(stored);
    if (!FLOATS.includes(info.dtype)) {
      throw this.fail(stored, `dtype ${info.dtype}`, FLOATS.join(', '));
    }
    if (info.shape.length !== shape.length || info.shape.some((n, i) => n !== shape[i])) {
      throw this.fail(stored, `shape [${info.shape}]`, `[${shape}] as config.json says`);
    }
    this.used.add(name);
    return this.checkpoint.read(stored);
  }

  /** A constant tensor, f32 unless a dtype is given. */
  tensor(name: string, shape: readonly number[], dtype: ComputeDType = 'f32'): Tensor {
    return this.constant(this.values(name, shape), shape, dtype);
  }

  constant(
    values: ArrayLike<number>,
    shape: readonly number[],
    dtype: ComputeDType = 'f32',
  ): Tensor {
    const made = keep(tensor(values, [...shape], { dtype, backend: this.backend }));
    this.created.push(made);
    return made;
  }

  /** A frozen linear layer packed for multiplication, quantised if asked, named as in the checkpoint without prefix. */
  linear(name: string, layer: number, outIn: readonly [number, number], bias: boolean): Linear {
    const weight = FrozenWeight.pack(this.unchecked(`${name}.weight`, outIn), outIn, {
      ...(this.quantized ?? { dtype: this.dtype }),
      name: `${this.folder}: tensor ${name}.weight`,
      backend: this.backend,
      forBackward: this.forBackward,
    });
    this.created.push(weight);
    const offset = bias ? this.tensor(`${name}.bias`, [outIn[0]]) : null;
    return new Linear(name, layer, weight, offset);
  }

  /** Names of stored tensors that nothing read. */
  unused(): string[] {
    return [...this.stored]
      .filter(([name]) => !this.used.has(name) && !HARMLESS.some((known) => known.test(name)))
      .map(([, stored]) => stored)
      .sort();
  }

  close(): void {
    this.checkpoint.close();
  }

  dispose(): void {
    for (const made of this.created.splice(0)) made.dispose();
  }

  private canonical(name: string): string {
    const prefix = this.prefixes.find((candidate) => name.startsWith(candidate));
    return prefix ? name.slice(prefix.length) : name;
  }

  private storedName(name: string, shape: readonly number[] | null): string {
    const stored = this.stored.get(name);
    if (stored !== undefined) return stored;
    throw this.fail(name, 'no such tensor', shape ? `a tensor of shape [${shape}]` : 'the tensor');
  }

  private fail(tensorName: string, got: string, expected: string): InputError {
    return new InputError({
      where: `${this.folder}: tensor ${tensorName}`,
      got,
      expected,
      remedy: 'use the weights that belong to this config.json',
    });
  }
}
