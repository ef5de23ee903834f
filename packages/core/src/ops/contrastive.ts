import { record } from '../autograd/node';
import { statDType } from '../dtype';
import { InputError } from '../errors';
import { empty, type Tensor } from '../tensor/tensor';
import {
  checkBackend,
  checkDType,
  checkInts,
  checkRank,
  checkReal,
  shapeFault,
  show,
  wantsGrad,
} from './shared/check';

export interface ContrastiveOptions {
  /** τ > 0; default 1. */
  temperature?: number;
  /** Added to the scaled scores, f32 [n, m], a constant: 0 keeps a candidate, -1e30 removes it. */
  mask?: Tensor | undefined;
}

/**
 * Softmax cross entropy over the products of two sets of vectors, without their matrix: loss_i = −log
 * softmax_j(q_i · p_j / τ + mask_ij)[target_i]. q [n, d] and p [m, d] in one dtype, f32 or bf16, targets i32 [n]
 * -> f32 [n]. Target −1 gives loss 0 and no gradient.
 *
 * Saves q, p, targets, lse f32 [n] and the mask if there is one; backward forms the scores again, once for dq and
 * once for dp.
 */
export function contrastive(
  q: Tensor,
  p: Tensor,
  targets: Tensor,
  options: ContrastiveOptions = {},
): Tensor {
  const { temperature = 1, mask = null } = options;
  checkContrastive(q, p, targets, temperature, mask);
  const [n, k] = q.shape as [number, number];
  const m = p.shape[0]!;
  const { backend, dtype } = q;
  const args = [q.code, n, m, k, 1 / temperature];
  const loss = empty([n], statDType(dtype), backend);
  const lse = empty([n], statDType(dtype), backend);
  backend.launch(
    'contrastive',
    [q.handle, p.handle, targets.handle, mask?.handle ?? 0, loss.handle, lse.handle],
    args,
  );
  if (wantsGrad(q, p)) {
    const saved = [q, p, targets, lse, ...(mask ? [mask] : [])];
    record('contrastive', loss, [q, p], saved, (dy, node) => {
      const [sq, sp, st, stats] = node.saved as [Tensor, Tensor, Tensor, Tensor];
      const dq = node.needs(0) ? empty([n, k], dtype, backend) : null;
      const dp = node.needs(1) ? empty([m, k], dtype, backend) : null;
      backend.launch(
        'contrastive_grad',
        [
          dy.handle,
          sq.handle,
          sp.handle,
          st.handle,
          node.saved[4]?.handle ?? 0,
          stats.handle,
          dq?.handle ?? 0,
          dp?.handle ?? 0,
        ],
        args,
      );
      if (dq) node.give(0, dq);
      if (dp) node.give(1, dp);
    });
  }
  lse.dispose();
  return loss;
}

function checkContrastive(
  q: Tensor,
  p: Tensor,
  targets: Tensor,
  temperature: number,
  mask: Tensor | null,
): void {
  const op = 'contrastive';
  if (!(temperature > 0)) {
    throw new InputError({
      where: `${op} temperature`,
      got: String(temperature),
      expected: 'a number above 0',
      remedy: 'use 0.05 for cosine similarities',
    });
  }
  checkReal(op, q);
  checkRank(op, 'q', q, 2);
  checkRank(op, 'p', p, 2);
  checkDType(op, 'p', p, q.dtype);
  checkBackend(op, q, p);
  if (p.shape[1] !== q.shape[1] || p.shape[0] === 0) {
    shapeFault(`${op} p`, show(p), `at least one row of ${q.shape[1]} as in q ${show(q)}`);
  }
  checkInts(op, 'targets', targets, q.shape[0]!);
  checkBackend(op, q, targets);
  if (mask === null) return;
  checkDType(op, 'mask', mask, statDType(q.dtype));
  checkBackend(op, q, mask);
  if (mask.shape.length !== 2 || mask.shape[0] !== q.shape[0] || mask.shape[1] !== p.shape[0]) {
    shapeFault(`${op} mask`, show(mask), `[${q.shape[0]}, ${p.shape[0]}]`);
  }
}
