import { record } from '../autograd/node';
import { statDType } from '../dtype';
import { empty, type Tensor } from '../tensor/tensor';
import {
  checkBackend,
  checkInts,
  checkRank,
  checkReal,
  lastDim,
  rowsOf,
  wantsGrad,
} from './shared/check';

/**
 * Mean of each sequence's rows on the packed layout: x [T, d], cuSeqlens i32 [B + 1] -> f32 [B, d].
 * cuSeqlens rises from 0 to T; an empty sequence gives zeros.
 */
export function segmentMean(x: Tensor, cuSeqlens: Tensor): Tensor {
  checkReal('segmentMean', x);
  checkRank('segmentMean', 'x', x, 2);
  checkInts('segmentMean', 'cuSeqlens', cuSeqlens, null);
  checkBackend('segmentMean', x, cuSeqlens);
  const args = [x.code, cuSeqlens.size - 1, x.shape[1]!];
  const y = empty([cuSeqlens.size - 1, x.shape[1]!], statDType(x.dtype), x.backend);
  x.backend.launch('segment_mean', [x.handle, cuSeqlens.handle, y.handle], args);
  if (wantsGrad(x)) {
    const { shape, dtype } = x;
    record('segmentMean', y, [x], [cuSeqlens], (dy, node) => {
      const dx = empty(shape, dtype, dy.backend);
      dy.backend.launch('segment_mean_grad', [dy.handle, node.saved[0]!.handle, dx.handle], args);
      node.give(0, dx);
    });
  }
  return y;
}

/** x / max(‖x‖₂, eps) along the last axis, in f32 (f64 stays). Saves the result and the norms. */
export function l2Normalize(x: Tensor, eps = 1e-12): Tensor {
  checkReal('l2Normalize', x);
  const stat = statDType(x.dtype);
  const args = [x.code, rowsOf(x), lastDim(x), eps];
  const y = empty(x.shape, stat, x.backend);
  const norm = empty([rowsOf(x)], stat, x.backend);
  x.backend.launch('l2_normalize', [x.handle, y.handle, norm.handle], args);
  if (wantsGrad(x)) {
    const { dtype } = x;
    record('l2Normalize', y, [x], [y, norm], (dy, node) => {
      const [out, divisor] = node.saved as [Tensor, Tensor];
      const dx = empty(out.shape, dtype, out.backend);
      out.backend.launch(
        'l2_normalize_grad',
        [dy.handle, out.handle, divisor.handle, dx.handle],
        args,
      );
      node.give(0, dx);
    });
  }
  norm.dispose();
  return y;
}
