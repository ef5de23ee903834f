import { record } from '../autograd/node';
import { statDType } from '../dtype';
import { empty, type Tensor } from '../tensor/tensor';
import { checkReal, checkSame, checkVector, lastDim, rowsOf, wantsGrad } from './shared/check';

/**
 * RMS norm (Zhang & Sennrich 2019) along the last axis: x / √(mean(x²) + eps) · w. x [..., d], weight
 * f32 [d] or null; statistics in f32. Saves x and 1/rms.
 */
export function rmsNorm(x: Tensor, weight: Tensor | null, eps: number): Tensor {
  return normalize(x, null, weight, eps).y;
}

/** RMS norm of sum = x + residual, which is returned too (rounded to x's dtype); both outputs are differentiable. */
export function rmsNormResidual(
  x: Tensor,
  residual: Tensor,
  weight: Tensor | null,
  eps: number,
): { y: Tensor; sum: Tensor } {
  checkSame('rmsNormResidual', 'residual', x, residual);
  const { y, sum } = normalize(x, residual, weight, eps);
  return { y, sum: sum! };
}

function normalize(
  x: Tensor,
  residual: Tensor | null,
  weight: Tensor | null,
  eps: number,
): { y: Tensor; sum: Tensor | null } {
  checkReal('rmsNorm', x);
  const [rows, cols] = [rowsOf(x), lastDim(x)];
  checkVector('rmsNorm', 'weight', weight, x, cols);
  const { backend, dtype, shape } = x;
  const stat = statDType(dtype);
  const y = empty(shape, dtype, backend);
  const sum = residual ? empty(shape, dtype, backend) : null;
  const rstd = empty([rows], stat, backend);
  backend.launch(
    'rms_norm',
    [x.handle, residual?.handle ?? 0, weight?.handle ?? 0, y.handle, sum?.handle ?? 0, rstd.handle],
    [x.code, rows, cols, eps],
  );
  if (sum && residual && wantsGrad(x, residual)) {
    record('add', sum, [x, residual], [], (dy, node) => {
      node.give(0, dy);
      node.give(1, dy);
    });
  }
  const input = sum ?? x;
  if (wantsGrad(input, weight)) {
    const saved = [input, rstd, ...(weight ? [weight] : [])];
    record('rmsNorm', y, [input, weight], saved, (dy, node) => {
      const [s, r, w] = node.saved as [Tensor, Tensor, Tensor | undefined];
      const dx = empty(shape, dtype, backend);
      const dw = node.needs(1) ? empty([cols], stat, backend) : null;
      // Later users of the sum have run already, so their gradient is added in the same pass.
      const dsum = node.takePending(0, dtype);
      backend.launch(
        'rms_norm_grad',
        [
          dy.handle,
          s.handle,
          w?.handle ?? 0,
          r.handle,
          dsum?.handle ?? 0,
          dx.handle,
          dw?.handle ?? 0,
        ],
        [dy.code, rows, cols],
      );
      dsum?.dispose();
      node.give(0, dx);
      if (dw) node.give(1, dw);
    });
  }
  rstd.dispose();
  return { y, sum };
}
