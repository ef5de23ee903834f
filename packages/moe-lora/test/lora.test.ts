import { InputError, noGrad } from '@unimoer/core';
import { describe, expect, it } from 'vitest';
import { attachAdapter, kaimingUniform, loraScale, matchLinears, streamOf } from '../src/index';
import { backend, batchOf, maxDifference, noise, randomize, Toy } from './toy';

describe('matchLinears', () => {
  const { linears } = new Toy(4, 3);
  const names = (target: string | string[], layers?: number[]) =>
    matchLinears(linears, target, layers).map((linear) => linear.layer);

  it.each<[string | string[], number[]]>([
    ['all', [0, 1, 2]],
    ['dense', [0, 1, 2]],
    ['layer.1.dense', [1]],
    ['encoder.layer.2.dense', [2]],
    ['*.2.*', [2]],
    ['layer.?.dense', [0, 1, 2]],
    ['/layer\\.[12]\\./', [1, 2]],
    [
      ['encoder.layer.2.dense', 'encoder.layer.0.dense'],
      [0, 2],
    ],
  ])('%s', (target, expected) => {
    expect(names(target)).toEqual(expected);
  });

  it('keeps to the given layers', () => {
    expect(names('all', [1, 2])).toEqual([1, 2]);
  });

  it('names endings when nothing matches and explains a bad expression', () => {
    expect(() => names('query')).toThrow(/query, which matches no linear.*names end in dense/);
    expect(() => names('/(/')).toThrow(InputError);
    expect(() => names('ense')).toThrow(InputError);
  });
});

describe('initial values', () => {
  it('fills A from U(−1/√in, 1/√in), the same bits for the same key', () => {
    const options = { seed: 7, key: 'a', backend };
    const values = kaimingUniform(400, 25, options).toArray();
    let low = 1;
    let high = -1;
    let square = 0;
    for (const v of values) {
      low = Math.min(low, v);
      high = Math.max(high, v);
      square += v * v;
    }
    expect(low).toBeGreaterThanOrEqual(-0.2);
    expect(high).toBeLessThan(0.2);
    // Variance of U(−b, b) is b²/3.
    expect(square / values.length).toBeCloseTo(0.04 / 3, 3);
    expect(kaimingUniform(400, 25, options).toArray()).toEqual(values);
    expect(kaimingUniform(400, 25, { ...options, key: 'b' }).toArray()).not.toEqual(values);
  });

  it('numbers streams by FNV-1a', () => {
    // Published vectors of the 32-bit hash.
    expect(streamOf('')).toBe(0x811c9dc5);
    expect(streamOf('foobar')).toBe(0xbf9cf968);
  });
});

describe('plain LoRA', () => {
  it('changes nothing at the start and is exact afterwards', () => {
    const toy = new Toy();
    const batch = batchOf([2, 3]);
    const bare = toy.run(batch).toArray();
    const adapter = attachAdapter(
      toy.linears,
      { kind: 'lora', target: 'all', rank: 2, alpha: 6 },
      toy.options(),
    );
    expect(toy.run(batch).toArray()).toEqual(bare);
    expect(adapter.parameters().map((p) => p.name)).toEqual([
      'encoder.layer.0.dense.lora_A',
      'encoder.layer.0.dense.lora_B',
      'encoder.layer.1.dense.lora_A',
      'encoder.layer.1.dense.lora_B',
    ]);
    randomize(adapter.parameters());
    const adapted = noGrad(() => toy.run(batch).toArray());
    const weights = adapter.parameters().map((p) => p.tensor.toArray());
    const expected = dense(toy, weights, 3);
    expect(maxDifference(adapted, expected)).toBeLessThan(1e-6);
    adapter.detach();
    expect(toy.run(batch).toArray()).toEqual(bare);
  });

  it('scales by α/r, or α/√r for rsLoRA', () => {
    expect(loraScale(16, 32, false)).toBe(2);
    expect(loraScale(16, 32, true)).toBe(8);
  });

  it('refuses a second adapter and impossible ranks', () => {
    const toy = new Toy();
    const config = { kind: 'lora', target: 'dense', rank: 1 } as const;
    const first = attachAdapter(toy.linears, config, toy.options());
    expect(() => attachAdapter(toy.linears, config, toy.options())).toThrow(/already carries one/);
    first.detach();
    expect(() => attachAdapter(toy.linears, { ...config, rank: 0 }, toy.options())).toThrow(
      /rank of the adapter on encoder.layer.0.dense: got 0/,
    );
  });
});

/** tanh(x (W + s·B A)ᵀ) layer by layer, in plain loops. */
function dense(toy: Toy, weights: ArrayLike<number>[], scale: number): number[] {
  const { width } = toy;
  const plain = new Toy(width, toy.layers);
  let x = Array.from(plain.input(batchOf([2, 3])).toArray());
  for (let layer = 0; layer < toy.layers; layer++) {
    const w = noiseWeights(width, layer);
    const [A, B] = [weights[2 * layer]!, weights[2 * layer + 1]!];
    const rank = A.length / width;
    const next: number[] = [];
    for (let t = 0; t < x.length / width; t++) {
      for (let o = 0; o < width; o++) {
        let sum = 0;
        for (let i = 0; i < width; i++) {
          let delta = 0;
          for (let r = 0; r < rank; r++) delta += B[o * rank + r]! * A[r * width + i]!;
          sum += x[t * width + i]! * (w[o * width + i]! + scale * delta);
        }
        next.push(Math.tanh(sum));
      }
    }
    x = next;
  }
  return x;
}

function noiseWeights(width: number, layer: number): Float32Array {
  return Float32Array.from(noise(width * width, layer));
}
