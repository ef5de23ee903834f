import { record } from '../autograd/node';
import { empty, type Tensor } from '../tensor/tensor';
import { checkResidual, wantsGrad } from './shared/check';
import { add } from './binary';
import type { FrozenWeight } from './frozen-weight';
import { checkLinear } from './shared/low-rank';
import { onTop } from './shared/on-top';
import { sumGroups } from './shared/sum-groups';
import { packCode } from './shared/weight-pack';

/**
 * x Wᵀ + bias + residual: x [T, in] f32 or bf16, bias f32 [out] or null, residual [T, out] in x's dtype or null ->
 * [T, out] in x's dtype, summed in f32 and rounded once. Saves nothing but W's transposed pack; gradients reach x,
 * the residual and, if it requires one, the bias. A quantised W is
 * multiplied in integers by activations in 8 bits, or, with full activations, dequantised panel by panel in cache.
 */
export function linear(
  x: Tensor,
  w: FrozenWeight,
  bias: Tensor | null,
  residual: Tensor | null = null,
): Tensor {
  checkLinear('linear', x, w, bias);
  if (residual) checkResidual('linear', x, residual, w.outFeatures);
  if (residual && w.quantization) return add(linear(x, w, bias), residual);
  const m = x.shape[0]!;
  const [n, k] = [w.outFeatures, w.inFeatures];
  const { backend, dtype } = x;
  const y = empty([m, n], dtype, backend);
  multiply(w, w.packed, x, bias, residual, y, { m, reverse: false });
  if (wantsGrad(x, bias, residual)) {
    const like = { shape: [m, k], dtype, backend };
    const saved = x.requiresGrad ? [w.packedTranspose] : [];
    record('linear', y, [x, bias, residual], saved, (dy, node) => {
      // First, so that where the residual is x itself its gradient is added in the same pass.
      node.give(2, dy);
      const reverse = node.saved[0];
      if (reverse) {
        const { before, dx } = onTop(node, 0, like, w.quantization !== null);
        multiply(w, reverse, dy, null, before, dx, { m, reverse: true });
        node.give(0, dx);
        before?.dispose();
      }
      if (node.needs(1)) node.give(1, sumGroups(dy, m, n, 0, [n]));
    });
  }
  return y;
}

/** y = x Wᵀ + bias, or x W if reverse, by what is stored for that direction, plus residual (y itself, if W is quantised). */
function multiply(
  w: FrozenWeight,
  stored: Tensor,
  x: Tensor,
  bias: Tensor | null,
  residual: Tensor | null,
  y: Tensor,
  { m, reverse }: { m: number; reverse: boolean },
): void {
  const [n, k, q] = [w.outFeatures, w.inFeatures, w.quantization];
  const operands = [x.handle, stored.handle, bias?.handle ?? 0];
  if (q) {
    const integer = q.integer && !reverse ? 1 : 0;
    const args = [x.code, q.bits, q.group, integer, m, n, k, reverse ? 1 : 0, residual ? 1 : 0];
    x.backend.launch('linear_quantized', [...operands, y.handle], args);
  } else {
    const [columns, depth] = reverse ? [k, n] : [n, k];
    const args = [x.code, packCode(w, x.dtype), m, columns, depth];
    x.backend.launch('linear_packed', [...operands, residual?.handle ?? 0, y.handle], args);
  }
}
