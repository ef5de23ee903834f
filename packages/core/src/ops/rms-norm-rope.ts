import { record } from '../autograd/node';
import { statDType } from '../dtype';
import { empty, type Tensor } from '../tensor/tensor';
import type { RopeOptions } from './attention';
import {
  checkBackend,
  checkDType,
  checkInts,
  checkRank,
  checkReal,
  checkVector,
  shapeFault,
  wantsGrad,
} from './shared/check';

/**
 * `rope(rmsNorm(x by head, weight, eps), …)` in one pass: the norm of queries and keys of Qwen3. x [T, heads · headDim],
 * weight f32 [headDim], positions i32 [T], invFreq f32 [headDim / 2]. Works in f32, so bf16 results are rounded once
 * where the two ops round twice.
 *
 * Saves x and 1/rms f32 [T, heads], beside the weight, positions and frequencies; gradients for x and the weight.
 */
export function rmsNormRope(
  x: Tensor,
  weight: Tensor,
  eps: number,
  positions: Tensor,
  invFreq: Tensor,
  { heads, headDim }: RopeOptions,
): Tensor {
  const op = 'rmsNormRope';
  checkReal(op, x);
  checkRank(op, 'x', x, 2);
  if (x.shape[1] !== heads * headDim || headDim % 2 !== 0) {
    shapeFault(op, `[${x.shape.join(', ')}]`, `[T, ${heads} heads · ${headDim}], headDim even`);
  }
  const tokens = x.shape[0]!;
  checkVector(op, 'weight', weight, x, headDim);
  checkInts(op, 'positions', positions, tokens);
  checkDType(op, 'invFreq', invFreq, 'f32');
  if (invFreq.size !== headDim / 2) {
    shapeFault(`${op} invFreq`, `[${invFreq.shape.join(', ')}]`, `[${headDim / 2}]`);
  }
  checkBackend(op, x, positions);
  checkBackend(op, x, invFreq);
  const { backend, dtype, shape, code } = x;
  const stat = statDType(dtype);
  const y = empty(shape, dtype, backend);
  const rstd = empty([tokens, heads], stat, backend);
  backend.launch(
    'norm_rope',
    [x.handle, weight.handle, positions.handle, invFreq.handle, y.handle, rstd.handle],
    [code, tokens, heads, headDim, eps],
  );
  if (wantsGrad(x, weight)) {
    const saved = [x, weight, rstd, positions, invFreq];
    record(op, y, [x, weight], saved, (dy, node) => {
      const dx = empty(shape, dtype, backend);
      const dw = node.needs(1) ? empty([headDim], stat, backend) : null;
      backend.launch(
        'norm_rope_grad',
        [dy.handle, ...node.saved.map((t) => t.handle), dx.handle, dw?.handle ?? 0],
        [code, tokens, heads, headDim],
      );
      node.give(0, dx);
      if (dw) node.give(1, dw);
    });
  }
  rstd.dispose();
  return y;
}
