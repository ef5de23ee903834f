import { cast } from '../ops/cast';
import { scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { backward } from './backward';
import { gradEnabled, noGrad, record, setGradEnabled } from './node';

/**
 * fn(inputs) without keeping its inner activations: only the inputs are saved, and backward runs fn again
 * (Chen et al. 2016). fn must give the same result both times; parameters it closes over get their gradients.
 */
export function checkpoint(fn: (inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]): Tensor {
  const y = noGrad(() => scope(() => fn([...inputs])));
  if (!gradEnabled()) return y;
  const wanted = inputs.map((x) => x.requiresGrad);
  record('checkpoint', y, inputs, inputs, (dy, node) => {
    const fresh = node.saved.map((x, i) => {
      const leaf = x.detach();
      leaf.requiresGrad = wanted[i]!;
      return leaf;
    });
    const before = setGradEnabled(true);
    try {
      const again = fn(fresh);
      if (again.requiresGrad) backward(again, dy);
    } finally {
      setGradEnabled(before);
    }
    for (const [i, { grad, dtype }] of fresh.entries()) {
      if (grad) node.give(i, cast(grad, dtype));
    }
    for (const leaf of fresh) leaf.dispose();
  });
  return y;
}
