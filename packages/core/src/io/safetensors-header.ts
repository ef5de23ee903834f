/** The header of a safetensors file, checked as strictly as the reference reader does. */
import { InputError } from '../errors';
import { repeatedKey } from './json-keys';

/** Element types of the format and their sizes in bytes. */
export const elementBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const;

export type SafetensorsDType = keyof typeof elementBytes;

/** A tensor's entry; begin and end count from the first data byte. */
export interface TensorEntry {
  dtype: SafetensorsDType;
  shape: number[];
  begin: number;
  end: number;
}

export interface SafetensorsHeader {
  metadata: Record<string, string>;
  tensors: Map<string, TensorEntry>;
}

/** Largest header that the reference reader takes. */
export const maxHeaderBytes = 100_000_000;

export function damaged(file: string, got: string, expected: string): InputError {
  return new InputError({
    where: file,
    got,
    expected,
    remedy: 'download or export the file again',
  });
}

/** Parses and checks a header; dataBytes is what the file holds after it. */
export function parseHeader(file: string, bytes: Uint8Array, dataBytes: number): SafetensorsHeader {
  const json = decode(file, bytes);
  const metadata: Record<string, string> = {};
  const tensors = new Map<string, TensorEntry>();
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') Object.assign(metadata, readMetadata(file, value));
    else tensors.set(name, readEntry(file, name, value));
  }
  checkLayout(file, tensors, dataBytes);
  return { metadata, tensors };
}

function decode(file: string, bytes: Uint8Array): Record<string, unknown> {
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    json = JSON.parse(text);
  } catch (error) {
    throw damaged(file, `a header that is not JSON (${(error as Error).message})`, 'a JSON object');
  }
  if (!isObject(json) || text[0] !== '{') {
    throw damaged(file, 'a header that is not an object', 'a JSON object');
  }
  const repeated = repeatedKey(text);
  if (repeated !== null) {
    throw damaged(file, `the key ${JSON.stringify(repeated)} twice in the header`, 'unique names');
  }
  return json;
}

function readMetadata(file: string, value: unknown): Record<string, string> {
  if (!isObject(value) || Object.values(value).some((v) => typeof v !== 'string')) {
    throw damaged(file, 'a __metadata__ that is not text by key', 'an object of strings');
  }
  return value as Record<string, string>;
}

function readEntry(file: string, name: string, value: unknown): TensorEntry {
  const where = `${file} tensor ${name}`;
  if (!isObject(value)) throw damaged(where, 'an entry that is not an object', 'an object');
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(elementBytes, dtype)) {
    throw damaged(where, `dtype ${JSON.stringify(dtype)}`, 'a dtype of the format');
  }
  if (!isCounts(shape)) {
    throw damaged(where, `shape ${JSON.stringify(shape)}`, 'a list of sizes');
  }
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw damaged(where, `data_offsets ${JSON.stringify(offsets)}`, 'two offsets');
  }
  const [begin, end] = offsets as [number, number];
  const need = shape.reduce((n, d) => n * d, elementBytes[dtype as SafetensorsDType]);
  if (end - begin !== need) {
    throw damaged(where, `${end - begin} bytes`, `${need} for ${dtype} [${shape.join(', ')}]`);
  }
  return { dtype: dtype as SafetensorsDType, shape, begin, end };
}

/** Tensors must cover the data exactly: no overlap, no hole, nothing behind. */
function checkLayout(file: string, tensors: Map<string, TensorEntry>, dataBytes: number): void {
  const order = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const [name, { begin, end }] of order) {
    const where = `${file} tensor ${name}`;
    if (begin < at) throw damaged(where, `an overlap at data byte ${begin}`, `a start at ${at}`);
    if (begin > at) throw damaged(where, `a hole before data byte ${begin}`, `a start at ${at}`);
    if (end > dataBytes) {
      throw damaged(where, `an end at data byte ${end} of ${dataBytes}`, 'data within the file');
    }
    at = end;
  }
  if (at !== dataBytes) {
    throw damaged(file, `${dataBytes - at} trailing bytes`, 'an end after the last tensor');
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((v) => Number.isSafeInteger(v) && v >= 0);
}
