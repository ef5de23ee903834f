import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  add,
  backward,
  checkpoint,
  getBackend,
  matmul,
  memory,
  noGrad,
  scope,
  setDefaultBackend,
  square,
  sum,
  type Tensor,
  tanh,
  tensor,
} from '../src/index';

const backend = getBackend('reference');
beforeAll(() => setDefaultBackend(backend));

const side = 8;
const values = (seed: number): number[] =>
  Array.from({ length: side * side }, (_, i) => Math.sin(seed * 100 + i));
const leaf = (seed: number): Tensor => tensor(values(seed), [side, side], { requiresGrad: true });

/** A chain of layers that share one weight; the input's gradient is optional. */
function run(recompute: boolean, inputGrad: boolean) {
  const [x, w] = [leaf(1), leaf(2)];
  x.requiresGrad = inputGrad;
  const layer = ([h]: Tensor[]): Tensor => add(tanh(tanh(matmul(tanh(h!), w))), h!);
  backend.resetPeak();
  const start = memory(backend).liveBytes;
  scope(() => {
    let h: Tensor = x;
    for (let i = 0; i < 6; i++) h = recompute ? checkpoint(layer, [h]) : layer([h]);
    backward(sum(square(h)));
  });
  const peak = memory(backend).peakBytes - start;
  const grads = [x, w].map((t) => (t.grad ? [...t.grad.toArray()] : null));
  x.dispose();
  w.dispose();
  return { grads, peak };
}

describe('checkpoint', () => {
  test.each([true, false])(
    'gives the same gradients in less memory (input gradient: %s)',
    (grad) => {
      const [plain, saving] = [run(false, grad), run(true, grad)];
      expect(saving.grads).toEqual(plain.grads);
      expect(saving.grads[0] === null).toBe(!grad);
      expect(saving.peak).toBeLessThan(0.6 * plain.peak);
    },
  );

  test('records nothing under noGrad', () => {
    const x = leaf(3);
    scope(() => expect(noGrad(() => checkpoint(([h]) => tanh(h!), [x])).requiresGrad).toBe(false));
    x.dispose();
  });
});

afterAll(() => {
  expect(memory(backend).liveBuffers).toBe(0);
});
