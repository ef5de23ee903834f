import { record } from '../autograd/node';
import type { Handle } from '../backend/types';
import { empty, type Tensor } from '../tensor/tensor';
import { checkResidual, wantsGrad } from './shared/check';
import type { FrozenWeight } from './frozen-weight';
import { quantizedLinears } from './shared/quantized-linear';
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
  if (w.quantization) return quantizedLinears('linear', x, [{ weight: w, bias, residual }])[0]!;
  const m = x.shape[0]!;
  const [n, k] = [w.outFeatures, w.inFeatures];
  const { backend, dtype } = x;
  const y = empty([m, n], dtype, backend);
  const launch = (handles: Handle[], columns: number, depth: number): void =>
    backend.launch('linear_packed', handles, [x.code, packCode(w, dtype), m, columns, depth]);
  const added = [bias?.handle ?? 0, residual?.handle ?? 0];
  launch([x.handle, w.packed.handle, ...added, y.handle], n, k);
  if (wantsGrad(x, bias, residual)) {
    const like = { shape: [m, k], dtype, backend };
    const saved = x.requiresGrad ? [w.packedTranspose] : [];
    record('linear', y, [x, bias, residual], saved, (dy, node) => {
      // First, so that where the residual is x itself its gradient is added in the same pass.
      node.give(2, dy);
      const reverse = node.saved[0];
      if (reverse) {
        const { before, dx } = onTop(node, 0, like);
        launch([dy.handle, reverse.handle, 0, before?.handle ?? 0, dx.handle], k, n);
        node.give(0, dx);
        before?.dispose();
      }
      if (node.needs(1)) node.give(1, sumGroups(dy, m, n, 0, [n]));
    });
  }
  return y;
}
