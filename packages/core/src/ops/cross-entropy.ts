import { record } from '../autograd/node';
import { DTypeError } from '../errors';
import { empty, type Tensor } from '../tensor/tensor';
import { checkBackend, checkInts, checkRank, show, wantsGrad } from './shared/check';

/** Cross entropy of each row: logits f32 [n, c], targets i32 [n] -> f32 [n]. Target −1 gives loss 0 and no gradient. */
export function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  if (logits.dtype !== 'f32' && logits.dtype !== 'f64') {
    throw new DTypeError({
      where: 'crossEntropy',
      got: show(logits),
      expected: 'f32 logits',
      remedy: 'cast them first',
    });
  }
  checkRank('crossEntropy', 'logits', logits, 2);
  const [rows, cols] = logits.shape as [number, number];
  checkInts('crossEntropy', 'targets', targets, rows);
  checkBackend('crossEntropy', logits, targets);
  const { backend, dtype } = logits;
  const loss = empty([rows], dtype, backend);
  const lse = empty([rows], dtype, backend);
  backend.launch(
    'cross_entropy',
    [logits.handle, targets.handle, loss.handle, lse.handle],
    [rows, cols],
  );
  if (wantsGrad(logits)) {
    record('crossEntropy', loss, [logits], [logits, targets, lse], (dy, node) => {
      const [x, t, stats] = node.saved as [Tensor, Tensor, Tensor];
      const dx = empty(x.shape, dtype, backend);
      backend.launch(
        'cross_entropy_grad',
        [dy.handle, x.handle, t.handle, stats.handle, dx.handle],
        [rows, cols],
      );
      node.give(0, dx);
    });
  }
  lse.dispose();
  return loss;
}
