import { backward } from '../autograd/backward';
import type { Backend } from '../backend/types';
import { tensor } from '../tensor/create';
import { scope } from '../tensor/scope';
import { relativeError } from './allclose';
import { makeInputs, type OpCase } from './case';
import { toleranceOf } from './tolerances';

type Numbers = Float32Array | Float64Array | Int32Array;

/** A case's result and the gradients of its inputs, null where an input has none. */
export interface Outcome {
  value: Numbers;
  grads: (Numbers | null)[];
}

/** Runs a case forward and, where it has a gradient, backward on a backend that is the default one. */
export function outcome(spec: OpCase, dtype: 'f32' | 'bf16', backend: Backend): Outcome {
  return scope(() => {
    const inputs = makeInputs(spec, dtype, backend);
    const y = spec.run(inputs);
    if (spec.differentiable) {
      const weights = Float32Array.from({ length: y.size }, (_, i) => Math.sin(i + 1));
      backward(y, tensor(weights, y.shape, { dtype: y.dtype, backend }));
    }
    const result = { value: y.toArray(), grads: inputs.map((x) => x.grad?.toArray() ?? null) };
    for (const input of inputs) input.dispose();
    return result;
  });
}

/** What is wrong with a backend's outcome beside the reference's; empty where all is within tolerance. */
export function differences(
  spec: OpCase,
  dtype: 'f32' | 'bf16',
  got: Outcome,
  want: Outcome,
): string[] {
  const { forward, gradient } = toleranceOf(spec.op, dtype);
  const faults: string[] = [];
  const compare = (what: string, a: Numbers | null, b: Numbers | null, limit: number): void => {
    if ((a === null) !== (b === null)) faults.push(`${what}: only one side has it`);
    if (a === null || b === null) return;
    const error = relativeError(a, b);
    if (!(error <= limit)) {
      faults.push(`${spec.op}, ${spec.label}, ${dtype}, ${what}: off by ${error}, limit ${limit}`);
    }
  };
  compare('value', got.value, want.value, forward);
  for (const [i, grad] of got.grads.entries()) {
    compare(`gradient ${i}`, grad, want.grads[i] ?? null, gradient);
  }
  return faults;
}
