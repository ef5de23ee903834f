import { record } from '../autograd/node';
import { DTypeError } from '../errors';
import { empty, type Tensor } from '../tensor/tensor';
import { checkBackend, checkRank, shapeFault, show, wantsGrad } from './shared/check';

function checkScores(op: string, x: Tensor): [number, number] {
  if (x.dtype !== 'f32' && x.dtype !== 'f64') {
    throw new DTypeError({ where: op, got: show(x), expected: 'f32', remedy: 'cast it first' });
  }
  checkRank(op, 'scores', x, 2);
  return x.shape as [number, number];
}

/**
 * Sparsegen (Laha et al. 2018): rows of z f32 [G, N] projected to the simplex with sparsity lambda f32
 * scalar below 1: max(0, z − τ) / (1 − λ). Gradients for z and lambda. Saves the result and lambda.
 */
export function sparsegen(z: Tensor, lambda: Tensor): Tensor {
  const args = checkScores('sparsegen', z);
  if (lambda.size !== 1 || lambda.dtype !== z.dtype) {
    shapeFault('sparsegen lambda', show(lambda), `${z.dtype} scalar`);
  }
  checkBackend('sparsegen', z, lambda);
  const p = empty(z.shape, z.dtype, z.backend);
  z.backend.launch('sparsegen', [z.handle, lambda.handle, p.handle], args);
  if (wantsGrad(z, lambda)) {
    const lambdaShape = lambda.shape;
    record('sparsegen', p, [z, lambda], [p, lambda], (dp, node) => {
      const [out, l] = node.saved as [Tensor, Tensor];
      const dz = empty(out.shape, out.dtype, out.backend);
      const dl = empty(lambdaShape, out.dtype, out.backend);
      out.backend.launch(
        'sparsegen_grad',
        [dp.handle, out.handle, l.handle, dz.handle, dl.handle],
        args,
      );
      node.give(0, dz);
      node.give(1, dl);
    });
  }
  return p;
}

/** 1 at the k largest of each row of p f32 [G, N], else 0; ties go to the lower index. Not differentiable. */
export function topKMask(p: Tensor, k: number): Tensor {
  const [rows, cols] = checkScores('topKMask', p);
  if (!Number.isInteger(k) || k < 1 || k > cols) shapeFault('topKMask', `k = ${k}`, `1 to ${cols}`);
  const mask = empty(p.shape, p.dtype, p.backend);
  p.backend.launch('top_k_mask', [p.handle, mask.handle], [rows, cols, k]);
  return mask;
}
