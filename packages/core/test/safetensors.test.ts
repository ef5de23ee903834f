import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  atomicWrite,
  FileError,
  float32ToBf16,
  InputError,
  openCheckpoint,
  readSafetensors,
  writeSafetensors,
} from '../src/index';

const folder = mkdtempSync(join(tmpdir(), 'safetensors-'));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;

function fileOf(header: string | Uint8Array, dataBytes: number, length?: bigint): string {
  const text = Buffer.from(header);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(text.length));
  const path = join(folder, `case-${count++}.safetensors`);
  writeFileSync(path, Buffer.concat([size, text, Buffer.alloc(dataBytes)]));
  return path;
}

function entry(begin: number, end: number, shape = `[${(end - begin) / 4}]`): string {
  return `{"dtype":"F32","shape":${shape},"data_offsets":[${begin},${end}]}`;
}

const damagedFiles: [what: string, path: () => string, message: RegExp][] = [
  ['an empty file', () => fileAt(Buffer.alloc(0)), /0 bytes, expected at least the 8/],
  ['a header longer than the file', () => fileOf('{}', 0, 1000n), /header length of 1000/],
  ['a header length beyond 2^63', () => fileOf('{}', 0, 2n ** 63n + 5n), /header length/],
  ['a header that is not JSON', () => fileOf('{"a":', 0), /not JSON/],
  ['a header that is not UTF-8', () => fileOf(Uint8Array.of(0x7b, 0xff, 0x7d), 0), /not JSON/],
  ['a header that is a list', () => fileOf('[]', 0), /not an object/],
  [
    'a duplicate name',
    () => fileOf(`{"a":${entry(0, 4)},"\\u0061":${entry(4, 8)}}`, 8),
    /"a" twice/,
  ],
  ['an overlap', () => fileOf(`{"a":${entry(0, 8)},"b":${entry(4, 12)}}`, 12), /tensor b.*overlap/],
  ['a hole', () => fileOf(`{"a":${entry(0, 4)},"b":${entry(8, 12)}}`, 12), /tensor b.*hole/],
  ['trailing bytes', () => fileOf(`{"a":${entry(0, 4)}}`, 7), /3 trailing bytes/],
  ['truncated data', () => fileOf(`{"a":${entry(0, 8)}}`, 5), /tensor a.*end at data byte 8 of 5/],
  [
    'a size that does not fit its shape',
    () => fileOf(`{"a":${entry(0, 8, '[3]')}}`, 8),
    /12 for F32/,
  ],
  [
    'an unknown dtype',
    () => fileOf(`{"a":${entry(0, 4).replace('F32', 'F31')}}`, 4),
    /dtype "F31"/,
  ],
  ['a negative size', () => fileOf(`{"a":${entry(0, 4, '[-1]')}}`, 4), /shape \[-1\]/],
  ['metadata that is not text', () => fileOf('{"__metadata__":{"a":1}}', 0), /__metadata__/],
  ['no file', () => join(folder, 'absent.safetensors'), /no such file/],
];

function fileAt(bytes: Buffer): string {
  const path = join(folder, `raw-${count++}`);
  writeFileSync(path, bytes);
  return path;
}

describe('a safetensors reader', () => {
  test.each(damagedFiles)('refuses %s', (_what, path, message) => {
    const file = path();
    expect(() => readSafetensors(file)).toThrow(message);
    expect(() => readSafetensors(file)).toThrow(InputError);
    expect(() => readSafetensors(file)).toThrow(file);
  });

  test('reads back what was written, in every floating dtype', () => {
    const path = join(folder, 'all.safetensors');
    const values = Float32Array.of(1, -0.5, 65504, 2 ** -24);
    writeSafetensors(
      path,
      {
        f32: { dtype: 'F32', shape: [2, 2], data: values },
        bf16: { dtype: 'BF16', shape: [4], data: float32ToBf16(values) },
        // 1, -0.5, the largest and the smallest f16.
        f16: { dtype: 'F16', shape: [4], data: Uint16Array.of(0x3c00, 0xb800, 0x7bff, 0x0001) },
        f64: { dtype: 'F64', shape: [4], data: Float64Array.from(values) },
        i32: { dtype: 'I32', shape: [1], data: Int32Array.of(-7) },
        empty: { dtype: 'F32', shape: [0, 3], data: new Float32Array(0) },
      },
      { note: 'π' },
    );
    const file = readSafetensors(path);
    expect(file.names()).toEqual(['bf16', 'empty', 'f16', 'f32', 'f64', 'i32']);
    expect(file.metadata).toEqual({ note: 'π' });
    expect(file.info('f32')).toEqual({ dtype: 'F32', shape: [2, 2] });
    for (const name of ['f32', 'f16', 'f64']) expect(file.read(name)).toEqual(values);
    expect([...file.read('bf16')]).toEqual([1, -0.5, 65536, 2 ** -24]);
    expect([...file.readRaw('i32')]).toEqual([0xf9, 0xff, 0xff, 0xff]);
    expect(file.read('empty').length).toBe(0);
    expect(() => file.read('i32')).toThrow(/tensor i32: got dtype I32/);
    expect(() => file.read('none')).toThrow(InputError);
    file.close();
    expect(() => file.read('f32')).toThrow(InputError);
  });

  test('follows a symbolic link to a file', () => {
    const link = join(folder, 'link.safetensors');
    symlinkSync(fileOf(`{"a":${entry(0, 4)}}`, 4), link);
    expect(readSafetensors(link).names()).toEqual(['a']);
  });

  test('finds that the same entries give the same bytes in any order', () => {
    const [a, b] = [Float32Array.of(1), Float32Array.of(2, 3)];
    const one = { dtype: 'F32' as const, shape: [1], data: a };
    const two = { dtype: 'F32' as const, shape: [2], data: b };
    const [p, q] = [join(folder, 'p'), join(folder, 'q')];
    writeSafetensors(p, { one, two }, { x: '1', y: '2' });
    writeSafetensors(q, { two, one }, { y: '2', x: '1' });
    expect(readFileSync(p).equals(readFileSync(q))).toBe(true);
    expect(() => writeSafetensors(p, { bad: { ...one, shape: [2] } })).toThrow(/8 for F32 \[2\]/);
    expect(readSafetensors(p).names()).toEqual(['one', 'two']);
  });
});

describe('a checkpoint folder', () => {
  function checkpoint(index: unknown): string {
    const home = mkdtempSync(join(folder, 'checkpoint-'));
    const text = typeof index === 'string' ? index : JSON.stringify(index);
    writeFileSync(join(home, 'model.safetensors.index.json'), text);
    writeSafetensors(join(home, 'one.safetensors'), {
      a: { dtype: 'F32', shape: [1], data: Float32Array.of(4) },
    });
    writeSafetensors(join(home, 'two.safetensors'), {
      b: { dtype: 'F32', shape: [2], data: Float32Array.of(5, 6) },
    });
    return home;
  }

  test('reads shards through its index', () => {
    const home = checkpoint({ weight_map: { b: 'two.safetensors', a: 'one.safetensors' } });
    const source = openCheckpoint(home);
    expect(source.names()).toEqual(['a', 'b']);
    expect([...source.read('b')]).toEqual([5, 6]);
    expect(() => source.read('c')).toThrow(/no tensor c/);
    source.close();
  });

  test.each([
    ['a shard outside the folder', { weight_map: { a: '../one.safetensors' } }, /plain file name/],
    ['a shard in a subfolder', { weight_map: { a: 'x/one.safetensors' } }, /plain file name/],
    [
      'a missing shard',
      { weight_map: { a: 'three.safetensors' } },
      /three.safetensors: got no such file/,
    ],
    ['a tensor in the wrong shard', { weight_map: { a: 'two.safetensors' } }, /tensor a: got none/],
    [
      'a repeated tensor',
      '{"weight_map":{"a":"one.safetensors","a":"one.safetensors"}}',
      /a twice/,
    ],
    ['no map', { x: 1 }, /no weight_map/],
    ['text', 'not json', /not JSON/],
  ])('refuses an index with %s', (_what, index, message) => {
    const home = checkpoint(index);
    expect(() => openCheckpoint(home)).toThrow(InputError);
    expect(() => openCheckpoint(home)).toThrow(message);
  });

  test('refuses a folder without weights', () => {
    expect(() => openCheckpoint(mkdtempSync(join(folder, 'none-')))).toThrow(/no weights/);
  });
});

describe('atomicWrite', () => {
  test('makes folders, replaces the file, and removes leavings of dead processes', () => {
    const home = join(folder, 'deep', 'er');
    const path = join(home, 'out.json');
    atomicWrite(path, 'first');
    writeFileSync(join(home, '.out.json.tmp-999999999'), 'half');
    atomicWrite(path, Buffer.from('second'));
    expect(readFileSync(path, 'utf8')).toBe('second');
    expect(readdirSync(home)).toEqual(['out.json']);
  });

  test('turns a failure into a typed error and leaves the old file', () => {
    const path = join(folder, 'kept.txt');
    atomicWrite(path, 'old');
    const failing = (function* () {
      yield Buffer.from('new');
      throw Object.assign(new Error('write'), { code: 'ENOSPC' });
    })();
    expect(() => atomicWrite(path, failing)).toThrow(FileError);
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder).filter((f) => f.startsWith('.kept'))).toEqual([]);
    expect(() => atomicWrite(join(path, 'below'), 'x')).toThrow(FileError);
  });
});
