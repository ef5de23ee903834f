import { describe, expect, test } from 'vitest';
import { loadNativeBackend } from '../src/backend/native';
import {
  add,
  adaptedLinear,
  type Backend,
  backward,
  FrozenWeight,
  getBackend,
  linear,
  linearGroup,
  mean,
  memory,
  ones,
  Philox,
  scope,
  square,
  type Tensor,
  tensor,
} from '../src/index';

const native = loadNativeBackend().backend;
const backends: [string, Backend][] = [['reference', getBackend('reference')]];
if (native) backends.push(['native', native]);

const [tokens, inputs] = [10, 24];

function setUp(backend: Backend) {
  const rng = new Philox(5);
  const leaf = (rows: number, cols: number): Tensor =>
    tensor(
      Float32Array.from({ length: rows * cols }, () => rng.normal()),
      [rows, cols],
      { backend, requiresGrad: true },
    );
  const weight = (out: number): FrozenWeight => {
    const values = Float32Array.from({ length: out * inputs }, () => rng.normal());
    return FrozenWeight.pack(values, [out, inputs], { dtype: 'f32', backend });
  };
  const pair = (out: number) => ({
    A: leaf(4, inputs),
    B: leaf(out, 4),
    rankScale: ones([4], { backend }),
  });
  return {
    x: leaf(tokens, inputs),
    w: [weight(16), weight(9), weight(7)],
    pair: [pair(16), pair(9)],
    residual: [leaf(tokens, 16), null, leaf(tokens, 7)],
  };
}

/** Gradients of x, A and B of the first two members and the residuals, after loss of some outputs. */
function gradients(
  { x, w, pair, residual }: ReturnType<typeof setUp>,
  used: readonly number[],
  together: boolean,
): (number[] | null)[] {
  const leaves = [x, ...pair.flatMap(({ A, B }) => [A, B]), residual[0]!, residual[2]!];
  for (const leaf of leaves) {
    leaf.grad?.dispose();
    leaf.grad = null;
  }
  scope(() => {
    const member = (i: number) => ({
      weight: w[i]!,
      bias: null,
      lowRank: pair[i] ?? null,
      residual: residual[i]!,
    });
    const single = (i: number): Tensor => {
      const [weight, low] = [w[i]!, pair[i]];
      const y = low ? adaptedLinear(x, weight, null, low) : linear(x, weight, null);
      return residual[i] ? add(y, residual[i]) : y;
    };
    const ys = together
      ? linearGroup(x, [member(0), member(1), member(2)])
      : [single(0), single(1), single(2)];
    const losses = used.map((i) => mean(square(ys[i]!)));
    // x also reaches the loss directly, before or after the group's own gradient.
    backward([...losses, mean(square(x))].reduce((sum, loss) => add(sum, loss)));
  });
  return leaves.map(({ grad }) => (grad ? Array.from(grad.toArray()) : null));
}

describe.each(backends)('linearGroup on the %s backend', (_, backend) => {
  test.each([[[0, 1, 2]], [[1]], [[2]], [[2, 0]]])(
    'gives the gradients of single linears when outputs %j are used',
    (used) => {
      const model = setUp(backend);
      const got = gradients(model, used, true);
      const want = gradients(model, used, false);
      for (const [i, values] of want.entries()) {
        if (values === null) expect(got[i]).toBeNull();
        else for (const [j, v] of values.entries()) expect(got[i]![j]).toBeCloseTo(v, 5);
      }
    },
  );

  test('frees its results, used or not, and its tape', () => {
    const model = setUp(backend);
    gradients(model, [1], true);
    const before = memory(backend);
    scope(() => void linearGroup(model.x, [{ weight: model.w[0]!, bias: null }]));
    gradients(model, [1], true);
    expect(memory(backend).liveBuffers).toBe(before.liveBuffers);
  });

  test('adds a residual in bf16 before it rounds', () => {
    const bf16 = (values: number[], shape: number[]) =>
      tensor(values, shape, { backend, dtype: 'bf16' });
    const weight = FrozenWeight.pack(Float32Array.of(1, 0), [1, 2], { dtype: 'bf16', backend });
    const lowRank = {
      A: tensor([0, 1], [1, 2], { backend }),
      B: ones([1, 1], { backend }),
      rankScale: ones([1], { backend }),
    };
    // 200 + 57 lies halfway between 256 and 258, and even would be 256.
    const y = adaptedLinear(bf16([200, 57], [1, 2]), weight, null, lowRank, bf16([1], [1, 1]));
    expect(y.toArray()[0]).toBe(258);
  });

  test('refuses no members, four of them, a residual of another shape, and gates that differ', () => {
    const { x, w, pair } = setUp(backend);
    const member = { weight: w[0]!, bias: null };
    expect(() => linearGroup(x, [])).toThrow('0 linears');
    expect(() => linearGroup(x, [member, member, member, member])).toThrow('4 linears');
    expect(() => linearGroup(x, [{ ...member, residual: x }])).toThrow(
      `linearGroup residual: got f32 [${tokens}, ${inputs}], expected [${tokens}, 16]`,
    );
    const integers = (n: number) => tensor(new Array(n).fill(0), [n], { backend, dtype: 'i32' });
    const gating = {
      gates: ones([1, 1], { backend }),
      rowToGate: integers(tokens),
      rankExpert: integers(4),
    };
    const gated = { ...member, lowRank: { ...pair[0]!, ...gating } };
    const plain = { weight: w[1]!, bias: null, lowRank: pair[1]! };
    expect(() => linearGroup(x, [gated, plain])).toThrow('gates of its own');
  });
});
