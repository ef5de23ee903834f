import type { Parameter } from '../nn/linear';
import { empty } from '../tensor/tensor';

/** Euclidean norm of all gradients together, before it scales them down to maxNorm where it is larger (as torch does). */
export function clipGradNorm(parameters: readonly Parameter[], maxNorm: number): number {
  let total = 0;
  for (const { tensor } of parameters) {
    const grad = tensor.grad;
    if (grad === null) continue;
    const square = empty([1], grad.dtype, grad.backend);
    grad.backend.launch('sum_squares', [grad.handle, square.handle], [grad.size]);
    total += square.item();
    square.dispose();
  }
  const norm = Math.sqrt(total);
  const factor = maxNorm / (norm + 1e-6);
  if (factor < 1) {
    for (const { tensor } of parameters) {
      const grad = tensor.grad;
      if (grad === null) continue;
      grad.backend.launch('affine', [grad.handle, grad.handle], [grad.code, grad.size, factor, 0]);
    }
  }
  return norm;
}
