import { afterEach, expect, test, vi } from 'vitest';
import { GradNode } from '../src/autograd/node';
import {
  addScalar,
  backward,
  getBackend,
  scope,
  setDefaultBackend,
  square,
  sum,
} from '../src/index';
import { makeInputs } from '../src/testing/case';
import { opCases } from '../src/testing/op-cases';

const reference = getBackend('reference');
const rows = opCases.filter(
  ({ differentiable, large, dtypes }) => differentiable && !large && dtypes.includes('bf16'),
);

afterEach(() => {
  vi.restoreAllMocks();
});

// The rules of the ops before read a gradient in the dtype of their own result.
test.each(rows)('$op: $label gives bf16 results bf16 gradients', (spec) => {
  setDefaultBackend(reference);
  scope(() => {
    const leaves = makeInputs(spec, 'bf16', reference);
    const inputs = leaves.map((x) => (x.requiresGrad ? addScalar(x, 0) : x));
    const dtypes = new Map(inputs.map(({ node, dtype }) => [node, dtype]));
    const wrong: string[] = [];
    const give = GradNode.prototype.give;
    vi.spyOn(GradNode.prototype, 'give').mockImplementation(function (this: GradNode, i, t) {
      const target = this.inputs[i];
      const want = target && target.leaf === null ? dtypes.get(target) : undefined;
      if (want && t.dtype !== want) wrong.push(`${this.op} input ${i}: ${t.dtype} for ${want}`);
      give.call(this, i, t);
    });
    backward(sum(square(spec.run(inputs))));
    expect(wrong).toEqual([]);
  });
});
