import type { GradNode } from '../../autograd/node';
import { empty, type Tensor } from '../../tensor/tensor';

/**
 * For a rule that adds to the gradient which has reached `like`, its input i, so far: that gradient or null, and
 * the array for the sum, which is the same one unless something else holds it.
 */
export function onTop(
  node: GradNode,
  i: number,
  { shape, dtype, backend }: Pick<Tensor, 'shape' | 'dtype' | 'backend'>,
): { before: Tensor | null; dx: Tensor } {
  const before = node.takePending(i, dtype);
  const dx = before && !before.storage!.shared ? before : empty(shape, dtype, backend);
  return { before, dx };
}
