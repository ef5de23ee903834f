import { beforeAll, describe, expect, test } from 'vitest';
import {
  add,
  backward,
  bf16ToFloat32,
  cast,
  DisposedError,
  DTypeError,
  float32ToBf16,
  full,
  getBackend,
  InputError,
  keep,
  matmul,
  mean,
  memory,
  mul,
  noGrad,
  ones,
  scope,
  setDefaultBackend,
  ShapeError,
  sub,
  sum,
  type Tensor,
  tensor,
  tanh,
  UnimoerError,
  zeros,
} from '../src/index';

const backend = getBackend('reference');
beforeAll(() => setDefaultBackend(backend));

function leaf(data: number[], shape: number[] = [data.length]): Tensor {
  return tensor(data, shape, { requiresGrad: true });
}

describe('tensors', () => {
  test('hold their elements in every dtype', () => {
    scope(() => {
      expect([...tensor([1, 2.5], [2]).toArray()]).toEqual([1, 2.5]);
      expect([...tensor(new Int32Array([3, -4]), [2]).toArray()]).toEqual([3, -4]);
      expect([...tensor([0.1], [1], { dtype: 'f64' }).toArray()]).toEqual([0.1]);
      expect([...full([2], 7, { dtype: 'i32' }).toArray()]).toEqual([7, 7]);
      expect([...add(ones([2]), zeros([2])).toArray()]).toEqual([1, 1]);
    });
  });

  test('bf16 rounds to nearest, ties to even, and keeps infinities and NaN', () => {
    // 1 + 2^-8 lies midway between 1 and 1 + 2^-7; 1 + 3·2^-8 midway above it.
    const given = [
      1 + 2 ** -8,
      1 + 3 * 2 ** -8,
      1 + 2 ** -8 + 2 ** -20,
      Infinity,
      -Infinity,
      3.4e38,
    ];
    const kept = [1, 1 + 2 ** -6, 1 + 2 ** -7, Infinity, -Infinity, Infinity];
    expect([...bf16ToFloat32(float32ToBf16(Float32Array.from(given)))]).toEqual(kept);
    expect([...bf16ToFloat32(float32ToBf16(given))]).toEqual(kept);
    expect(bf16ToFloat32(float32ToBf16([Number.NaN]))[0]).toBeNaN();
    scope(() =>
      expect(tensor(given, [6], { dtype: 'bf16' }).toArray()).toEqual(Float32Array.from(kept)),
    );
  });

  test('reshape shares the buffer and infers one size', () => {
    scope(() => {
      const x = tensor([1, 2, 3, 4, 5, 6], [2, 3]);
      const y = x.reshape([-1, 2]);
      expect(y.shape).toEqual([3, 2]);
      x.dispose();
      expect([...y.toArray()]).toEqual([1, 2, 3, 4, 5, 6]);
      expect(() => y.reshape([4, -1])).toThrow(ShapeError);
    });
  });

  test('errors name op, got and expected', () => {
    scope(() => {
      const [a, b] = [zeros([8, 64]), zeros([32, 64])];
      expect(() => matmul(a, b)).toThrow(
        'matmul: got [8, 64] x [32, 64] with inner sizes 64 and 32, expected equal inner sizes; did you mean transposeB?',
      );
      expect(() => add(a, zeros([3]))).toThrow(ShapeError);
      expect(() => sub(zeros([64]), a)).toThrow('the small one must be the second');
      expect(() => tanh(tensor([1], [1], { dtype: 'i32' }))).toThrow(DTypeError);
      expect(() => a.item()).toThrow(ShapeError);
      expect(() => tensor([1, 2], [3])).toThrow(ShapeError);
      expect(() => tensor([1.5], [1], { dtype: 'i32' })).toThrow(DTypeError);
      const gone = zeros([1]);
      gone.dispose();
      expect(() => gone.toArray()).toThrow(DisposedError);
    });
    const input = new InputError({ where: 'a.json', got: 'x', expected: 'y', remedy: 'do z' });
    expect(input).toMatchObject({ code: 'INPUT', name: 'InputError', got: 'x' });
    expect(input.message).toBe('a.json: got x, expected y; do z');
  });
});

describe('scopes', () => {
  test('free what they do not return, in arrays, objects and maps too', () => {
    const before = memory().liveBuffers;
    const out = scope(() => {
      zeros([4]);
      return { a: [zeros([1])], m: new Map([['k', zeros([2])]]), n: 3 };
    });
    expect(memory().liveBuffers).toBe(before + 2);
    out.a[0]!.dispose();
    out.m.get('k')!.dispose();
    expect(memory().liveBuffers).toBe(before);
  });

  test('move returned tensors to the parent scope', () => {
    const before = memory().liveBuffers;
    scope(() => {
      const inner = scope(() => zeros([4]));
      expect(inner.disposed).toBe(false);
    });
    expect(memory().liveBuffers).toBe(before);
  });

  test('leave kept tensors and parameters alone', () => {
    const made: Tensor[] = [];
    scope(() => {
      const parameter = leaf([1]);
      made.push(keep(zeros([1])), parameter);
      backward(sum(mul(parameter, parameter)));
    });
    const [a, p] = made as [Tensor, Tensor];
    expect([a.disposed, p.disposed, p.grad?.toArray()[0]]).toEqual([false, false, 2]);
    a.dispose();
    p.dispose();
  });

  test('free everything when fn throws, and refuse async functions', () => {
    const before = memory().liveBuffers;
    expect(() =>
      scope(() => {
        zeros([4]);
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(() =>
      scope(async () => {
        zeros([4]);
      }),
    ).toThrow(UnimoerError);
    expect(memory().liveBuffers).toBe(before);
  });
});

describe('the tape', () => {
  test('sums the gradients of all uses, over several backwards', () => {
    const x = leaf([2, 3]);
    // d/dx Σ (x² + x³) = 2x + 3x².
    const run = () => scope(() => backward(sum(add(mul(x, x), mul(x, mul(x, x))))));
    run();
    expect([...x.grad!.toArray()]).toEqual([16, 33]);
    run();
    expect([...x.grad!.toArray()]).toEqual([32, 66]);
    x.dispose();
  });

  test('does no work for frozen inputs and none under noGrad', () => {
    scope(() => {
      const [x, w] = [leaf([1, 2]), tensor([3, 4], [2])];
      const y = mul(x, w);
      backward(sum(y));
      expect(w.grad).toBeNull();
      expect(mul(w, w).requiresGrad).toBe(false);
      expect(noGrad(() => mul(x, x)).requiresGrad).toBe(false);
      expect(x.detach().requiresGrad).toBe(false);
      x.dispose();
    });
  });

  test('keeps what it saved when the tensor is disposed', () => {
    scope(() => {
      const x = leaf([2]);
      const square = mul(x, x);
      const y = sum(mul(square, square));
      square.dispose();
      backward(y);
      expect(x.grad!.toArray()[0]).toBe(32);
      x.dispose();
    });
  });

  test('is freed with its last tensor when backward never runs', () => {
    const x = leaf([1, 2, 3]);
    const before = memory().liveBuffers;
    const y = scope(() => sum(tanh(mul(x, x))));
    expect(memory().liveBuffers).toBeGreaterThan(before + 1);
    y.dispose();
    expect(memory().liveBuffers).toBe(before);
    x.dispose();
  });

  test('refuses a second backward and one without a graph', () => {
    const x = leaf([1, 2]);
    scope(() => {
      const y = sum(mul(x, x));
      backward(y);
      expect(() => backward(y)).toThrow(DisposedError);
      expect(() => backward(sum(tensor([1], [1])))).toThrow(DisposedError);
      expect(() => backward(mul(x, x))).toThrow(ShapeError);
    });
    x.dispose();
  });

  test('gives a bf16 leaf an f32 gradient and passes clone and reshape', () => {
    scope(() => {
      const x = tensor([1, 2], [2], { dtype: 'bf16', requiresGrad: true });
      backward(mean(cast(x.clone().reshape([1, 2]), 'f32')));
      expect(x.grad).toMatchObject({ dtype: 'f32', shape: [2] });
      expect([...x.grad!.toArray()]).toEqual([0.5, 0.5]);
      x.dispose();
    });
  });
});
