import { record } from '../autograd/node';
import { statDType } from '../dtype';
import { BackendError } from '../errors';
import { empty, type Tensor } from '../tensor/tensor';
import type { FrozenWeight } from './frozen-weight';
import { checkInts, checkRank, checkReal, shapeFault, wantsGrad } from './shared/check';
import { packCode, withPacks } from './shared/weight-pack';

/**
 * Cross entropy of next-token logits x Wᵀ that are never stored: hidden x [n, d] f32 or bf16, a frozen output matrix
 * W [V, d], targets i32 [n] -> f32 [n]. Exact: log Σ exp over tiles of the vocabulary, combined in order. Target −1
 * gives loss 0 and no gradient. Select the rows that have a target first (gatherRows).
 *
 * Saves x and lse f32 [n], beside W's two packs: backward forms the logits tile by tile again and gives
 * dx = dloss (softmax − one-hot) W. Scratch memory is a few MB whatever V is; a quantised W is
 * dequantised as a whole for either call, though.
 */
export function vocabularyCrossEntropy(x: Tensor, w: FrozenWeight, targets: Tensor): Tensor {
  const op = 'vocabularyCrossEntropy';
  checkReal(op, x);
  checkRank(op, 'hidden', x, 2);
  const [n, k] = x.shape as [number, number];
  const vocabulary = w.outFeatures;
  if (k !== w.inFeatures) {
    shapeFault(
      `${op} ${w.name}`,
      `hidden [${n}, ${k}]`,
      `[n, ${w.inFeatures}] for a weight [${vocabulary}, ${w.inFeatures}]`,
    );
  }
  checkInts(op, 'targets', targets, n);
  if (x.backend !== w.backend || x.backend !== targets.backend) {
    throw new BackendError({
      where: `${op} ${w.name}`,
      got: `hidden on ${x.backend.name}, weight on ${w.backend.name}, targets on ${targets.backend.name}`,
      expected: 'one backend',
    });
  }
  const { backend, dtype } = x;
  const args = [x.code, packCode(w, dtype), n, vocabulary, k];
  const loss = empty([n], statDType(dtype), backend);
  const lse = empty([n], statDType(dtype), backend);
  withPacks([w], [w.packed], dtype, false, ([pack]) =>
    backend.launch(
      'vocabulary_cross_entropy',
      [x.handle, pack!, targets.handle, loss.handle, lse.handle],
      args,
    ),
  );
  if (wantsGrad(x)) {
    const saved = [x, targets, lse, w.packed, w.packedTranspose];
    record(op, loss, [x], saved, (dy, node) => {
      const [sx, st, stats, forward, reverse] = node.saved as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
      ];
      const dx = empty([n, k], dtype, backend);
      withPacks([w], [forward], dtype, false, ([pack]) =>
        withPacks([w], [reverse], dtype, true, ([transposed]) =>
          backend.launch(
            'vocabulary_cross_entropy_grad',
            [dy.handle, sx.handle, pack!, transposed!, st.handle, stats.handle, dx.handle],
            args,
          ),
        ),
      );
      node.give(0, dx);
    });
  }
  lse.dispose();
  return loss;
}
