import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { bf16ToFloat32 } from '../bf16';
import { InputError } from '../errors';
import { atomicWrite, fileError } from './atomic-write';
import { f16ToFloat32 } from './half';
import {
  damaged,
  elementBytes,
  maxHeaderBytes,
  parseHeader,
  type SafetensorsDType,
  type SafetensorsHeader,
  type TensorEntry,
} from './safetensors-header';

/** Tensors by name, read from disk one at a time. */
export interface TensorSource {
  /** Text by key from the file. */
  readonly metadata: Readonly<Record<string, string>>;
  /** All names, sorted. */
  names(): string[];
  has(name: string): boolean;
  info(name: string): { dtype: SafetensorsDType; shape: number[] };
  /** Elements as f32; F16, BF16, F32 and F64 only. */
  read(name: string): Float32Array;
  /** The bytes as stored, little-endian. */
  readRaw(name: string): Uint8Array;
  close(): void;
}

/** One safetensors file, its header checked on opening. */
export class SafetensorsFile implements TensorSource {
  private constructor(
    readonly path: string,
    private file: number | null,
    private readonly dataStart: number,
    private readonly header: SafetensorsHeader,
  ) {}

  /** Opens and checks a file. Throws InputError naming file and tensor where it is damaged. */
  static open(path: string): SafetensorsFile {
    let file: number;
    try {
      file = openSync(path, 'r');
    } catch (error) {
      throw unreadable(path, error);
    }
    try {
      const { size } = fstatSync(file);
      if (size < 8) throw damaged(path, `${size} bytes`, 'at least the 8 bytes of a header length');
      const length = readAt(file, path, 0, 8).readBigUInt64LE();
      if (length > BigInt(maxHeaderBytes) || length > BigInt(size - 8)) {
        throw damaged(
          path,
          `a header length of ${length} in a file of ${size} bytes`,
          `at most ${Math.min(size - 8, maxHeaderBytes)}`,
        );
      }
      const dataStart = 8 + Number(length);
      const header = parseHeader(path, readAt(file, path, 8, dataStart - 8), size - dataStart);
      return new SafetensorsFile(path, file, dataStart, header);
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  get metadata(): Readonly<Record<string, string>> {
    return this.header.metadata;
  }

  names(): string[] {
    return [...this.header.tensors.keys()].sort();
  }

  has(name: string): boolean {
    return this.header.tensors.has(name);
  }

  info(name: string): { dtype: SafetensorsDType; shape: number[] } {
    const { dtype, shape } = this.entry(name);
    return { dtype, shape: [...shape] };
  }

  read(name: string): Float32Array {
    const { dtype } = this.entry(name);
    const { buffer } = this.readRaw(name);
    switch (dtype) {
      case 'F32':
        return new Float32Array(buffer);
      case 'F16':
        return f16ToFloat32(new Uint16Array(buffer));
      case 'BF16':
        return bf16ToFloat32(new Uint16Array(buffer));
      case 'F64':
        return Float32Array.from(new Float64Array(buffer));
      default:
        throw new InputError({
          where: `${this.path} tensor ${name}`,
          got: `dtype ${dtype}`,
          expected: 'F32, F16, BF16 or F64',
          remedy: 'convert the checkpoint to floating point',
        });
    }
  }

  readRaw(name: string): Uint8Array<ArrayBuffer> {
    const { begin, end } = this.entry(name);
    if (this.file === null) {
      throw new InputError({
        where: this.path,
        got: 'a closed file',
        expected: 'an open one',
        remedy: 'read before close()',
      });
    }
    const out = new Uint8Array(end - begin);
    fillFrom(this.file, this.path, out, this.dataStart + begin);
    return out;
  }

  close(): void {
    if (this.file !== null) closeSync(this.file);
    this.file = null;
  }

  private entry(name: string): TensorEntry {
    const entry = this.header.tensors.get(name);
    if (!entry) {
      throw new InputError({
        where: this.path,
        got: `no tensor ${name}`,
        expected: 'it in the file',
        remedy: 'use a checkpoint of this architecture',
      });
    }
    return entry;
  }
}

/** Opens a safetensors file. */
export function readSafetensors(path: string): SafetensorsFile {
  return SafetensorsFile.open(path);
}

/** A tensor to write; data holds the elements in the storage of dtype. */
export interface TensorData {
  dtype: SafetensorsDType;
  shape: readonly number[];
  data: ArrayBufferView;
}

/**
 * Writes a safetensors file atomically; the same entries give the same bytes, whatever their order: larger
 * elements first, then by name, as the reference writer lays them out.
 */
export function writeSafetensors(
  path: string,
  entries: Readonly<Record<string, TensorData>>,
  metadata?: Readonly<Record<string, string>>,
): void {
  const order = Object.entries(entries).sort(
    ([nameA, a], [nameB, b]) =>
      elementBytes[b.dtype] - elementBytes[a.dtype] || (nameA < nameB ? -1 : 1),
  );
  const header: Record<string, unknown> = {};
  if (metadata) header.__metadata__ = Object.fromEntries(Object.entries(metadata).sort());
  let at = 0;
  for (const [name, { dtype, shape, data }] of order) {
    const need = shape.reduce((n, d) => n * d, elementBytes[dtype]);
    if (data.byteLength !== need || name === '__metadata__') {
      throw new InputError({
        where: `${path} tensor ${name}`,
        got: `${data.byteLength} bytes`,
        expected: `${need} for ${dtype} [${shape.join(', ')}]`,
        remedy: 'pass data in the storage of its dtype',
      });
    }
    header[name] = { dtype, shape, data_offsets: [at, at + need] };
    at += need;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(text.length / 8) * 8, ' ');
  text.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  atomicWrite(path, [
    length,
    padded,
    ...order.map(([, { data }]) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  ]);
}

function readAt(file: number, path: string, position: number, length: number): Buffer {
  const out = Buffer.alloc(length);
  fillFrom(file, path, out, position);
  return out;
}

function fillFrom(file: number, path: string, out: Uint8Array, position: number): void {
  for (let done = 0; done < out.byteLength; ) {
    const want = Math.min(out.byteLength - done, 2 ** 28);
    const got = readSync(file, out, done, want, position + done);
    if (got === 0) throw damaged(path, `an end at byte ${position + done}`, 'a complete file');
    done += got;
  }
}

function unreadable(path: string, error: unknown): Error {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== 'ENOENT' && code !== 'EISDIR' && code !== 'ENOTDIR') return fileError(path, error);
  return new InputError({
    where: path,
    got: code === 'EISDIR' ? 'a folder' : 'no such file',
    expected: 'a safetensors file',
    remedy: 'check the path',
  });
}
