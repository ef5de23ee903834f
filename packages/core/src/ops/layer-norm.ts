import { record } from '../autograd/node';
import { statDType } from '../dtype';
import { empty, type Tensor } from '../tensor/tensor';
import { checkReal, checkSame, checkVector, lastDim, rowsOf, wantsGrad } from './shared/check';

/**
 * Layer norm (Ba et al. 2016) along the last axis of s = x + residual: (s − mean) / √(var + eps) · w + b.
 * x [..., d] in any real dtype, weight and bias f32 [d] or null; statistics in f32, s rounded to x's
 * dtype. Saves s, mean and 1/σ; x and residual get the same gradient.
 */
export function layerNorm(
  x: Tensor,
  weight: Tensor | null,
  bias: Tensor | null,
  eps: number,
  options: { residual?: Tensor | null } = {},
): Tensor {
  const residual = options.residual ?? null;
  checkReal('layerNorm', x);
  const [rows, cols] = [rowsOf(x), lastDim(x)];
  checkVector('layerNorm', 'weight', weight, x, cols);
  checkVector('layerNorm', 'bias', bias, x, cols);
  if (residual) checkSame('layerNorm', 'residual', x, residual);
  const { backend, dtype, shape } = x;
  const stat = statDType(dtype);
  const taped = wantsGrad(x, residual, weight, bias);
  const y = empty(shape, dtype, backend);
  const sum = residual && taped ? empty(shape, dtype, backend) : null;
  const mean = empty([rows], stat, backend);
  const rstd = empty([rows], stat, backend);
  backend.launch(
    'layer_norm',
    [
      x.handle,
      residual?.handle ?? 0,
      weight?.handle ?? 0,
      bias?.handle ?? 0,
      y.handle,
      sum?.handle ?? 0,
      mean.handle,
      rstd.handle,
    ],
    [x.code, rows, cols, eps],
  );
  if (taped) {
    const saved = [sum ?? x, mean, rstd, ...(weight ? [weight] : [])];
    record('layerNorm', y, [x, residual, weight, bias], saved, (dy, node) => {
      const [s, m, r, w] = node.saved as [Tensor, Tensor, Tensor, Tensor | undefined];
      const dx = empty(shape, dtype, backend);
      const dw = node.needs(2) ? empty([cols], stat, backend) : null;
      const db = node.needs(3) ? empty([cols], stat, backend) : null;
      backend.launch(
        'layer_norm_grad',
        [
          dy.handle,
          s.handle,
          w?.handle ?? 0,
          m.handle,
          r.handle,
          dx.handle,
          dw?.handle ?? 0,
          db?.handle ?? 0,
        ],
        [dy.code, rows, cols],
      );
      node.give(0, dx);
      node.give(1, dx);
      if (dw) node.give(2, dw);
      if (db) node.give(3, db);
    });
  }
  sum?.dispose();
  mean.dispose();
  rstd.dispose();
  return y;
}
