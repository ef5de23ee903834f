import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { readSafetensors, UnimoerError, writeSafetensors } from '../src/index';
import { repeatedKey } from '../src/io/json-keys';
import { parseHeader } from '../src/io/safetensors-header';

const folder = mkdtempSync(join(tmpdir(), 'fuzz-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The header a fuzzed text gives, or the typed error it must throw instead. */
function parse(bytes: Uint8Array, dataBytes: number): void {
  try {
    const { tensors } = parseHeader('f', bytes, dataBytes);
    let covered = 0;
    for (const { begin, end } of tensors.values()) covered += end - begin;
    expect(covered).toBe(dataBytes);
  } catch (error) {
    expect(error).toBeInstanceOf(UnimoerError);
  }
}

const count = fc.oneof(
  fc.integer({ min: -1, max: 16 }),
  fc.constantFrom(1.5, 2 ** 53, 1e300, null),
);
const entry = fc.record(
  {
    dtype: fc.constantFrom('F32', 'BF16', 'I64', 'U8', 'f32', 7),
    shape: fc.oneof(fc.array(count, { maxLength: 3 }), fc.constant('x')),
    data_offsets: fc.array(count, { maxLength: 3 }),
  },
  { requiredKeys: [] },
);

test('20,000 malformed headers give typed errors and nothing else', () => {
  const header = fc.dictionary(fc.constantFrom('a', 'b', '__proto__', '__metadata__'), entry);
  fc.assert(
    fc.property(header, fc.nat(40), (json, dataBytes) =>
      parse(Buffer.from(JSON.stringify(json)), dataBytes),
    ),
    { numRuns: 10_000, seed: 1 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(20), (bytes, n) => parse(bytes, n)),
    { numRuns: 10_000, seed: 2 },
  );
});

test('1,000 truncations and bit flips of a good file give typed errors or the same tensors', () => {
  const path = join(folder, 'good');
  writeSafetensors(path, {
    'layer.weight': { dtype: 'F32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    'layer.bias': { dtype: 'BF16', shape: [2], data: Uint16Array.of(1, 2) },
  });
  const good = readSafetensors(path);
  const bytes = Buffer.concat([good.readRaw('layer.weight'), good.readRaw('layer.bias')]);
  expect(bytes.length).toBe(28);
  good.close();
  const flipped = join(folder, 'flipped');
  fc.assert(
    fc.property(fc.nat(), fc.nat(7), fc.boolean(), (at, bit, cut) => {
      const copy = readFileSync(path);
      const place = at % copy.length;
      copy[place] = copy[place]! ^ (1 << bit);
      writeFileSync(flipped, cut ? copy.subarray(0, place) : copy);
      try {
        const file = readSafetensors(flipped);
        for (const name of file.names()) file.readRaw(name);
        file.close();
        expect(cut).toBe(false);
      } catch (error) {
        expect(error).toBeInstanceOf(UnimoerError);
      }
    }),
    { numRuns: 1000, seed: 3 },
  );
});

test('repeated keys are found exactly where JSON text repeats them', () => {
  fc.assert(
    fc.property(fc.json(), (text) => repeatedKey(text) === null),
    { numRuns: 2000, seed: 4 },
  );
  expect(repeatedKey('{"a":{"b":1,"c":[{"b":1}]},"b":2}')).toBeNull();
  expect(repeatedKey('[{"x":"\\"x\\":","y":1},{"x" :1,"x"\n:2}]')).toBe('x');
});
