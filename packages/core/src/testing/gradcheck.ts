import { backward } from '../autograd/backward';
import { noGrad } from '../autograd/node';
import { mul } from '../ops/binary';
import { sum } from '../ops/sum';
import { Philox } from '../rng/philox';
import { tensor } from '../tensor/create';
import { scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { relativeError } from './allclose';

/** Error of each input's gradient against central differences, relative to the larger of the two. */
export interface GradcheckResult {
  input: number;
  error: number;
}

/**
 * Checks the gradients of fn on f64 inputs by central differences of a random projection of its result.
 * Inputs that do not require a gradient are left alone; their gradients must stay null.
 */
export function gradcheck(
  fn: (inputs: Tensor[]) => Tensor,
  inputs: Tensor[],
  { step = 1e-5, seed = 7 } = {},
): GradcheckResult[] {
  const project = (): Tensor => {
    const y = fn(inputs);
    const rng = new Philox(seed);
    const direction = Float64Array.from({ length: y.size }, () => rng.normal());
    return sum(mul(y, tensor(direction, [...y.shape], { dtype: 'f64', backend: y.backend })));
  };
  scope(() => backward(project()));
  const value = (): number => noGrad(() => scope(() => project().item()));
  return inputs.flatMap((input, index) => {
    if (!input.requiresGrad) return [];
    const data = input.toArray();
    const numeric = new Float64Array(input.size);
    for (let i = 0; i < input.size; i++) {
      const old = data[i]!;
      data[i] = old + step;
      input.set(data);
      const up = value();
      data[i] = old - step;
      input.set(data);
      numeric[i] = (up - value()) / (2 * step);
      data[i] = old;
    }
    input.set(data);
    const exact = input.grad ? input.grad.toArray() : new Float64Array(input.size);
    const error = Math.max(relativeError(exact, numeric), relativeError(numeric, exact));
    return [{ input: index, error }];
  });
}
