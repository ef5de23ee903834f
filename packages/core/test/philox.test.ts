import { describe, expect, test } from 'vitest';
import { Philox } from '../src/index';
import { philoxBlock } from '../src/rng/philox-block';

// Known-answer vectors of Random123, file kat_vectors, philox4x32 with 10 rounds: counter, key, result.
const vectors: [number[], number[], number[]][] = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
];

describe('Philox', () => {
  test.each(vectors)('block %j under key %j is the published one', (counter, key, expected) => {
    const out = new Uint32Array(4);
    const [c0, c1, c2, c3] = counter as [number, number, number, number];
    philoxBlock(out, c0, c1, c2, c3, key[0]!, key[1]!);
    expect([...out]).toEqual(expected);
  });

  test('the generator walks the counter from zero', () => {
    const rng = new Philox(0);
    expect(Array.from({ length: 4 }, () => rng.nextUint32())).toEqual(vectors[0]![2]);
  });

  test('a saved state continues with the same numbers', () => {
    const rng = new Philox(123n, 4);
    for (let i = 0; i < 7; i++) rng.nextUint32();
    const copy = Philox.fromState(JSON.parse(JSON.stringify(rng.state())));
    expect(Array.from({ length: 9 }, () => copy.uniform())).toEqual(
      Array.from({ length: 9 }, () => rng.uniform()),
    );
  });

  test('streams and seeds differ', () => {
    const firsts = [new Philox(1), new Philox(2), new Philox(1, 1)].map((r) => r.nextUint32());
    expect(new Set(firsts).size).toBe(3);
  });

  test('uniform, normal and int have their moments', () => {
    const rng = new Philox(9);
    const n = 20000;
    let [u, z, zz] = [0, 0, 0];
    const counts = new Array<number>(7).fill(0);
    for (let i = 0; i < n; i++) {
      u += rng.uniform();
      const x = rng.normal();
      z += x;
      zz += x * x;
      const k = rng.int(7);
      counts[k] = counts[k]! + 1;
    }
    // Five standard errors of the mean.
    expect(Math.abs(u / n - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / n));
    expect(Math.abs(z / n)).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(zz / n - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    for (const c of counts) expect(Math.abs(c - n / 7)).toBeLessThan(5 * Math.sqrt(n / 7));
  });

  test('shuffle permutes', () => {
    const items = Array.from({ length: 50 }, (_, i) => i);
    const shuffled = new Philox(3).shuffle([...items]);
    expect(shuffled).not.toEqual(items);
    expect(shuffled.sort((a, b) => a - b)).toEqual(items);
  });
});
