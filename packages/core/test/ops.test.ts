import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  backward,
  getBackend,
  memory,
  mul,
  scope,
  setDefaultBackend,
  sum,
  tensor,
} from '../src/index';
import { relativeError } from '../src/testing/allclose';
import { makeInputs, type OpCase } from '../src/testing/case';
import { gradcheck } from '../src/testing/gradcheck';
import { opCases } from '../src/testing/op-cases';
import { gradcheckTolerance, twinTolerance } from '../src/testing/tolerances';

const reference = getBackend('reference');
beforeAll(() => setDefaultBackend(reference));

function withInputs(spec: OpCase, body: (inputs: ReturnType<typeof makeInputs>) => void): void {
  const inputs = makeInputs(spec, 'f64', reference);
  try {
    body(inputs);
  } finally {
    for (const input of inputs) input.dispose();
  }
}

describe('gradients agree with finite differences in f64', () => {
  test.each(opCases.filter((c) => c.differentiable && !c.large))('$op: $label', (spec) => {
    withInputs(spec, (inputs) => {
      const results = gradcheck(spec.run, inputs);
      expect(results.length).toBeGreaterThan(0);
      for (const { error } of results) expect(error).toBeLessThan(gradcheckTolerance);
      for (const input of inputs) if (!input.requiresGrad) expect(input.grad).toBeNull();
    });
  });
});

describe('fused ops equal their twins in value and gradient', () => {
  test.each(opCases.filter((c) => c.twin && !c.large))('$op: $label', (spec) => {
    withInputs(spec, (inputs) => {
      const outcome = (run: OpCase['run']) =>
        scope(() => {
          const y = run(inputs);
          const weights = Float64Array.from({ length: y.size }, (_, i) => Math.sin(i + 1));
          backward(sum(mul(y, tensor(weights, [...y.shape], { dtype: 'f64' }))));
          const grads = inputs.map((x) => {
            const grad = x.grad?.toArray() ?? null;
            x.grad?.dispose();
            x.grad = null;
            return grad;
          });
          return { value: y.toArray(), grads };
        });
      const fused = outcome(spec.run);
      const twin = outcome(spec.twin!);
      expect(relativeError(fused.value, twin.value)).toBeLessThan(twinTolerance);
      fused.grads.forEach((grad, i) => {
        expect(grad === null).toBe(twin.grads[i] === null);
        if (grad) expect(relativeError(grad, twin.grads[i]!)).toBeLessThan(twinTolerance);
      });
    });
  });
});

afterAll(() => {
  expect(memory(reference)).toMatchObject({ liveBytes: 0, liveBuffers: 0 });
});
