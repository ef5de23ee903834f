import { afterAll, describe, expect, test } from 'vitest';
import { loadNativeBackend } from '../src/backend/native';
import { type Backend, backward, DTypeError, getBackend, scope, tensor } from '../src/index';
import { relativeError } from '../src/testing/allclose';
import { makeInputs, type OpCase } from '../src/testing/case';
import { opCases } from '../src/testing/op-cases';
import { toleranceOf } from '../src/testing/tolerances';

const native = loadNativeBackend().backend;
const rows = opCases.flatMap((spec) => spec.dtypes.map((dtype) => ({ ...spec, dtype })));

function outcome(spec: OpCase, dtype: 'f32' | 'bf16', backend: Backend) {
  return scope(() => {
    const inputs = makeInputs(spec, dtype, backend);
    const y = spec.run(inputs);
    if (spec.differentiable) {
      const weights = Float32Array.from({ length: y.size }, (_, i) => Math.sin(i + 1));
      backward(y, tensor(weights, [...y.shape], { dtype: y.dtype, backend }));
    }
    const grads = inputs.map((x) => x.grad?.toArray() ?? null);
    const value = y.toArray();
    for (const input of inputs) input.dispose();
    return { value, grads };
  });
}

describe.skipIf(!native)('the native backend agrees with the reference', () => {
  test.each(rows)('$op: $label in $dtype', (spec) => {
    const { forward, gradient } = toleranceOf(spec.op, spec.dtype);
    const got = outcome(spec, spec.dtype, native!);
    const want = outcome(spec, spec.dtype, getBackend('reference'));
    expect(relativeError(got.value, want.value)).toBeLessThanOrEqual(forward);
    got.grads.forEach((grad, i) => {
      expect(grad === null).toBe(want.grads[i] === null);
      if (grad) expect(relativeError(grad, want.grads[i]!)).toBeLessThanOrEqual(gradient);
    });
  });

  test('f64 is refused with a typed error before it reaches a kernel', () => {
    expect(() => tensor([1], [1], { dtype: 'f64', backend: native! })).toThrow(DTypeError);
  });

  afterAll(() => {
    expect(native!.memory().liveBuffers).toBe(0);
  });
});
