import { record } from '../autograd/node';
import { empty, type Tensor } from '../tensor/tensor';
import { wantsGrad } from './shared/check';
import type { FrozenWeight } from './frozen-weight';
import { checkLinear } from './shared/low-rank';
import { sumGroups } from './shared/sum-groups';
import { packCode } from './shared/weight-pack';

/**
 * x Wᵀ + bias: x [T, in] f32 or bf16, bias f32 [out] or null -> [T, out] in x's dtype, summed in f32. Saves
 * nothing but W's transposed pack; gradients reach x and, if it requires one, the bias. A quantised W is
 * multiplied in integers by activations in 8 bits, or, with full activations, dequantised panel by panel in cache.
 */
export function linear(x: Tensor, w: FrozenWeight, bias: Tensor | null): Tensor {
  checkLinear('linear', x, w, bias);
  const m = x.shape[0]!;
  const [n, k] = [w.outFeatures, w.inFeatures];
  const { backend, dtype } = x;
  const y = empty([m, n], dtype, backend);
  multiply(w, w.packed, x, bias, y, { m, reverse: false, add: false });
  if (wantsGrad(x, bias)) {
    record('linear', y, [x, bias], x.requiresGrad ? [w.packedTranspose] : [], (dy, node) => {
      const reverse = node.saved[0];
      if (reverse) {
        const sum = node.takeOwnPending(0, dtype);
        const dx = sum ?? empty([m, k], dtype, backend);
        multiply(w, reverse, dy, null, dx, { m, reverse: true, add: sum !== null });
        node.give(0, dx);
        sum?.dispose();
      }
      if (node.needs(1)) node.give(1, sumGroups(dy, m, n, 0, [n]));
    });
  }
  return y;
}

/** y = x Wᵀ + bias, or x W if reverse, by what is stored for that direction; with add, on top of y. */
function multiply(
  w: FrozenWeight,
  stored: Tensor,
  x: Tensor,
  bias: Tensor | null,
  y: Tensor,
  { m, reverse, add }: { m: number; reverse: boolean; add: boolean },
): void {
  const [n, k, q] = [w.outFeatures, w.inFeatures, w.quantization];
  const buffers = [x.handle, stored.handle, bias?.handle ?? 0, y.handle];
  if (q) {
    const integer = q.integer && !reverse ? 1 : 0;
    const args = [x.code, q.bits, q.group, integer, m, n, k, reverse ? 1 : 0, add ? 1 : 0];
    x.backend.launch('linear_quantized', buffers, args);
  } else {
    const [columns, depth] = reverse ? [k, n] : [n, k];
    const args = [x.code, packCode(w, x.dtype), m, columns, depth, add ? 1 : 0];
    x.backend.launch('linear_packed', buffers, args);
  }
}
