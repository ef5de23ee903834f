import { record } from '../autograd/node';
import { dtypeCode } from '../dtype';
import { empty, type Tensor } from '../tensor/tensor';
import { wantsGrad } from './shared/check';
import type { FrozenWeight } from './frozen-weight';
import { checkLinear } from './shared/low-rank';
import { sumGroups } from './shared/sum-groups';

/**
 * x Wᵀ + bias: x [T, in] f32 or bf16, bias f32 [out] or null -> [T, out] in x's dtype, summed in f32. Saves
 * nothing but W's transposed pack; gradients reach x and, if it requires one, the bias.
 */
export function linear(x: Tensor, w: FrozenWeight, bias: Tensor | null): Tensor {
  checkLinear('linear', x, w, bias);
  const m = x.shape[0]!;
  const [n, k] = [w.outFeatures, w.inFeatures];
  const packCode = dtypeCode[w.dtype];
  const { backend, dtype } = x;
  const y = empty([m, n], dtype, backend);
  backend.launch(
    'linear_packed',
    [x.handle, w.packed.handle, bias?.handle ?? 0, y.handle],
    [x.code, packCode, m, n, k, 0],
  );
  if (wantsGrad(x, bias)) {
    record('linear', y, [x, bias], x.requiresGrad ? [w.packedTranspose] : [], (dy, node) => {
      const reverse = node.saved[0];
      if (reverse) {
        const sum = node.takeOwnPending(0, dtype);
        const dx = sum ?? empty([m, k], dtype, backend);
        backend.launch(
          'linear_packed',
          [dy.handle, reverse.handle, 0, dx.handle],
          [dy.code, packCode, m, k, n, sum ? 1 : 0],
        );
        node.give(0, dx);
        sum?.dispose();
      }
      if (node.needs(1)) node.give(1, sumGroups(dy, m, n, 0, [n]));
    });
  }
  return y;
}
