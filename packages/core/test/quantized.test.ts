import { describe, expect, test } from 'vitest';
import { loadNativeBackend } from '../src/backend/native';
import {
  add,
  adaptedLinear,
  type Backend,
  backward,
  BackendError,
  DTypeError,
  feedForward,
  FrozenWeight,
  getBackend,
  InputError,
  linear,
  linearGroup,
  mean,
  noGrad,
  type PackOptions,
  Philox,
  scope,
  square,
  swiglu,
  tensor,
} from '../src/index';

const reference = getBackend('reference');
const native = loadNativeBackend().backend;
const backends: Backend[] = native ? [reference, native] : [reference];

const [n, k, m] = [37, 75, 9];
const rng = new Philox(3);
const normal = (size: number): Float32Array =>
  Float32Array.from({ length: size }, () => rng.normal());
const w = normal(n * k);
const x = normal(m * k);
const dy = normal(m * n);

/** What 4 bits stand for; both signs of the scale occur. */
const codes = [-127, -99, -78, -61, -46, -33, -21, -9, 2, 13, 24, 36, 49, 64, 82, 105];

const integerForms: PackOptions[] = [
  { dtype: 'int8' },
  { dtype: 'int4' },
  { dtype: 'int4', groupSize: 16 },
];
const forms: PackOptions[] = [
  ...integerForms,
  { dtype: 'int8', activations: 'full' },
  { dtype: 'int4', activations: 'full' },
];

/** The weight's values as numbers. */
function dequantized(options: PackOptions, backend: Backend, values = w): Float32Array {
  const weight = FrozenWeight.pack(values, [n, k], { ...options, backend });
  const result = weight.dequantize();
  const numbers = result.toArray() as Float32Array;
  result.dispose();
  weight.dispose();
  return numbers;
}

/** y and dx for dy through a quantised weight. */
function product(
  options: PackOptions,
  dtype: 'f32' | 'bf16',
  backend: Backend,
): { y: ArrayLike<number>; dx: ArrayLike<number> } {
  return scope(() => {
    const weight = FrozenWeight.pack(w, [n, k], { ...options, backend });
    const input = tensor(x, [m, k], { dtype, backend, requiresGrad: true });
    const y = linear(input, weight, null);
    weight.dispose();
    backward(y, tensor(dy, [m, n], { dtype, backend }));
    return { y: y.toArray(), dx: input.grad!.toArray() };
  });
}

describe.each(backends.map((backend) => ({ name: backend.name, backend })))(
  '$name',
  ({ backend }) => {
    test('no int8 weight is further than half a step from its value', () => {
      const got = dequantized({ dtype: 'int8' }, backend);
      for (let row = 0; row < n; row++) {
        const part = w.subarray(row * k, (row + 1) * k);
        const limit = (Math.max(...part.map(Math.abs)) / 127 / 2) * (1 + 2 ** -20);
        part.forEach((value, i) => {
          expect(Math.abs(got[row * k + i]! - value)).toBeLessThanOrEqual(limit);
        });
      }
    });

    test('int4 has three quarters of the error of rounding to 15 even steps', () => {
      const group = 16;
      const size = 64 * 48;
      const values = normal(size);
      const weight = FrozenWeight.pack(values, [64, 48], {
        dtype: 'int4',
        groupSize: group,
        backend,
      });
      const got = weight.dequantize().toArray();
      let [error, plain] = [0, 0];
      for (let start = 0; start < size; start += group) {
        const part = values.subarray(start, start + group);
        const scale = Math.max(...part.map(Math.abs)) / 7;
        part.forEach((value, i) => {
          error += (got[start + i]! - value) ** 2;
          plain += (Math.round(value / scale) * scale - value) ** 2;
        });
      }
      expect(Math.sqrt(error / plain)).toBeLessThan(0.8);
      weight.dispose();
    });

    test('weights on the grid, zero rows and tiny weights are exact', () => {
      const grid = Float32Array.from({ length: n * k }, (_, i) => {
        const [row, j] = [Math.floor(i / k), i % k];
        if (row === 0) return 0;
        if (row === 1) return 1e-35;
        const code = j % 16 === 0 ? -127 : codes[i % 16]!;
        return (code * (row % 2 === 0 ? 1 : -1)) / 256;
      });
      const want = grid.map((v, i) => (i < 2 * k ? 0 : v));
      expect(dequantized({ dtype: 'int4', groupSize: 16 }, backend, grid)).toEqual(want);
    });

    test('the gradient is that of the dequantised weight, 8-bit activations or not', () => {
      for (const options of forms) {
        const { dx } = product(options, 'f32', backend);
        const values = dequantized(options, backend);
        for (let t = 0; t < m; t++) {
          for (let j = 0; j < k; j++) {
            let want = 0;
            for (let i = 0; i < n; i++) want += dy[t * n + i]! * values[i * k + j]!;
            expect(dx[t * k + j]).toBeCloseTo(want, 4);
          }
        }
      }
    });

    test.each(['int8', 'int4'] as const)(
      '8-bit activations are close to full ones, %s',
      (dtype) => {
        const full = product({ dtype, activations: 'full' }, 'f32', backend).y;
        const rounded = product({ dtype }, 'f32', backend).y;
        let [error, norm] = [0, 0];
        for (let i = 0; i < full.length; i++) {
          error += (full[i]! - rounded[i]!) ** 2;
          norm += full[i]! ** 2;
        }
        // A uniform error of a step of max |x| / 127 has a relative size of about max |x| / (127 √12 rms x).
        expect(error).toBeGreaterThan(0);
        expect(Math.sqrt(error / norm)).toBeLessThan(0.01);
      },
    );

    test('an adapter that does nothing leaves the dequantised product', () => {
      scope(() => {
        const weight = FrozenWeight.pack(w, [n, k], { dtype: 'int4', backend });
        const input = tensor(x, [m, k], { backend });
        const make = (data: Float32Array, shape: number[]) => tensor(data, shape, { backend });
        const y = adaptedLinear(input, weight, null, {
          A: make(normal(4 * k), [4, k]),
          B: make(new Float32Array(n * 4), [n, 4]),
          rankScale: make(new Float32Array(4).fill(1), [4]),
        });
        const full = FrozenWeight.pack(w, [n, k], { dtype: 'int4', activations: 'full', backend });
        const plain = linear(input, full, null).toArray();
        full.dispose();
        y.toArray().forEach((v, i) => {
          expect(v).toBeCloseTo(plain[i]!, 5);
        });
        weight.dispose();
      });
    });

    test('linears together have the bits and gradients of single ones', () => {
      for (const options of forms) {
        for (const dtype of ['f32', 'bf16'] as const) {
          const run = (together: boolean) =>
            scope(() => {
              const make = (values: Float32Array, shape: number[]) =>
                tensor(values, shape, { dtype, backend, requiresGrad: true });
              const input = make(x, [m, k]);
              const residual = make(dy, [m, n]);
              const members = [w, w.map((v) => -v), w.map((v) => v * v)].map((values, i) => ({
                weight: FrozenWeight.pack(values, [n, k], { ...options, backend }),
                bias: null,
                residual: i === 1 ? residual : null,
              }));
              const ys = together
                ? linearGroup(input, members)
                : members.map((one) => linear(input, one.weight, null, one.residual));
              backward(mean(square(add(add(ys[0]!, ys[1]!), ys[2]!))));
              for (const { weight } of members) weight.dispose();
              return {
                ys: ys.map((y) => y.toArray()),
                grads: [input, residual].map(({ grad }) => grad!.toArray() as Float32Array),
              };
            });
          const [got, want] = [run(true), run(false)];
          expect(got.ys).toEqual(want.ys);
          expect(got.grads[1]).toEqual(want.grads[1]);
          // The sum over the linears is formed in another order, and in bf16 rounded after each.
          const step = dtype === 'f32' ? 1e-5 : 2 ** -6;
          for (const [i, v] of want.grads[0]!.entries()) {
            expect(Math.abs(got.grads[0]![i]! - v)).toBeLessThan(step * (1 + Math.abs(v)));
          }
        }
      }
    });

    test('the feed-forward part has the same bits off the tape, where the activation is part of a product', () => {
      for (const options of forms) {
        for (const dtype of ['f32', 'bf16'] as const) {
          for (const activation of ['relu', 'gelu', 'gelu_tanh', 'swiglu'] as const) {
            scope(() => {
              const input = tensor(x, [m, k], { dtype, backend, requiresGrad: true });
              const pack = (values: Float32Array, shape: [number, number]) => ({
                weight: FrozenWeight.pack(values, shape, { ...options, backend }),
                bias: null,
              });
              const weights = {
                up: pack(w, [n, k]),
                down: pack(w, [k, n]),
                ...(activation === 'swiglu'
                  ? {
                      gate: pack(
                        w.map((v) => -v),
                        [n, k],
                      ),
                    }
                  : {}),
              };
              const run = () => feedForward(input, weights, activation, input);
              const before = backend.memory().liveBuffers;
              const off = noGrad(run);
              expect(backend.memory().liveBuffers).toBe(before + 1);
              expect(off.toArray()).toEqual(run().toArray());
              for (const { weight } of Object.values(weights)) weight.dispose();
            });
          }
        }
      }
    });

    test('a feed-forward part takes weights of different forms', () => {
      scope(() => {
        const part = (values: Float32Array, shape: [number, number], options: PackOptions) => ({
          weight: FrozenWeight.pack(values, shape, { ...options, backend }),
          bias: null,
        });
        const full = { dtype: 'int8', activations: 'full' } as const;
        const up = part(w, [n, k], full);
        const gate = part(w, [n, k], { dtype: 'f32' });
        const down = part(w, [k, n], full);
        const input = tensor(x, [m, k], { backend });
        const want = linear(
          swiglu(linear(input, gate.weight, null), linear(input, up.weight, null)),
          down.weight,
          null,
        );
        expect(feedForward(input, { up, gate, down }, 'swiglu').toArray()).toEqual(want.toArray());
        for (const { weight } of [up, gate, down]) weight.dispose();
      });
    });

    test('one copy serves both directions and is freed', () => {
      const before = backend.memory().liveBytes;
      const weight = FrozenWeight.pack(new Float32Array(512 * 512), [512, 512], {
        dtype: 'int4',
        backend,
      });
      const bytes = backend.memory().liveBytes - before;
      if (backend === native) expect(bytes).toBeLessThan(512 * 512 * (0.5 + 2 / 32) * 1.01);
      expect(weight.packed).toBe(weight.packedTranspose);
      weight.dispose();
      expect(backend.memory().liveBytes).toBe(before);
    });

    test('options that do not fit are refused by name', () => {
      const pack = (options: object) => () =>
        FrozenWeight.pack(w, [n, k], { name: 'layer.0.query', backend, ...options } as PackOptions);
      expect(pack({ dtype: 'int4', groupSize: 24 })).toThrow(
        /layer\.0\.query: got groupSize 24, expected a multiple of 16/,
      );
      expect(pack({ dtype: 'int4', groupSize: 0 })).toThrow(InputError);
      expect(pack({ dtype: 'int8', groupSize: 32 })).toThrow(InputError);
      expect(pack({ dtype: 'int4', activations: 'int4' })).toThrow(InputError);
      expect(pack({ dtype: 'int8', activations: 'int4' })).toThrow(InputError);
      expect(pack({ dtype: 'int2' })).toThrow(InputError);
      expect(pack({ dtype: 'f32', groupSize: 32 })).toThrow(InputError);
      expect(() =>
        FrozenWeight.pack(Float32Array.of(1, Number.NaN), [1, 2], { dtype: 'int8', backend }),
      ).toThrow(InputError);
      expect(() =>
        FrozenWeight.pack(new Float32Array(131073), [1, 131073], { dtype: 'int8', backend }),
      ).toThrow(/131073 inputs, expected at most 131072/);
      const plain = FrozenWeight.pack(w, [n, k], { dtype: 'f32', backend });
      expect(() => plain.dequantize()).toThrow(DTypeError);
      plain.dispose();
    });

    test('the kernels refuse short buffers', () => {
      const h = backend.alloc(64);
      expect(() => backend.launch('quantize_weight', [h, h], [0, 8, 0, 8, 8])).toThrow(
        BackendError,
      );
      expect(() =>
        backend.launch(
          'linear_quantized',
          [h, 0, h, 0, 0, h, ...new Array(8).fill(0)],
          [0, 4, 32, 0, 0, -1, 8, 8, 8, 0, 0],
        ),
      ).toThrow(BackendError);
      backend.free(h);
    });
  },
);

describe.skipIf(!native)('the native backend beside the reference', () => {
  test('stores the same numbers, bit by bit', () => {
    for (const options of forms) {
      expect(dequantized(options, native!)).toEqual(dequantized(options, reference));
    }
  });

  test('gives the same bits for integer products', () => {
    for (const options of integerForms) {
      for (const dtype of ['f32', 'bf16'] as const) {
        const [got, want] = [native!, reference].map((b) => product(options, dtype, b).y);
        expect(got).toEqual(want);
      }
    }
  });

  test('gives the same bits for 1, 2 and 4 threads', () => {
    const threads = native!.threads();
    for (const options of forms) {
      const results = [1, 2, 4].map((count) => {
        native!.setThreads(count);
        return product(options, 'bf16', native!);
      });
      expect(results[1]).toEqual(results[0]);
      expect(results[2]).toEqual(results[0]);
    }
    native!.setThreads(threads);
  });
});
