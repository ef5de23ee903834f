import { record } from '../autograd/node';
import { empty, type Tensor } from '../tensor/tensor';
import { checkReal, lastDim, rowsOf, wantsGrad } from './shared/check';

/** eˣ / Σ eˣ along the last axis, statistics in f32. Saves the result. */
export function softmax(x: Tensor): Tensor {
  return apply('softmax', 'softmax_grad', x);
}

/** x − log Σ eˣ along the last axis, statistics in f32. Saves the result. */
export function logSoftmax(x: Tensor): Tensor {
  return apply('log_softmax', 'log_softmax_grad', x);
}

function apply(
  kernel: 'softmax' | 'log_softmax',
  grad: 'softmax_grad' | 'log_softmax_grad',
  x: Tensor,
): Tensor {
  checkReal(kernel, x);
  const args = [x.code, rowsOf(x), lastDim(x)];
  const y = empty(x.shape, x.dtype, x.backend);
  x.backend.launch(kernel, [x.handle, y.handle], args);
  if (wantsGrad(x)) {
    record(kernel, y, [x], [y], (dy, node) => {
      const out = node.saved[0]!;
      const dx = empty(out.shape, out.dtype, out.backend);
      out.backend.launch(grad, [dy.handle, out.handle, dx.handle], args);
      node.give(0, dx);
    });
  }
  return y;
}
