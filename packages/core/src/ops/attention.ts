import { record } from '../autograd/node';
import { statDType } from '../dtype';
import { empty, type Tensor } from '../tensor/tensor';
import {
  checkBackend,
  checkDType,
  checkInts,
  checkRank,
  checkReal,
  shapeFault,
  wantsGrad,
} from './shared/check';

/** Heads of a rotary embedding. */
export interface RopeOptions {
  heads: number;
  headDim: number;
}

/**
 * Rotary embedding (Su et al. 2021) in the rotate-half convention: x [T, heads · headDim], positions
 * i32 [T], invFreq f32 [headDim / 2]. Angles in f32; the gradient rotates back, nothing else is saved.
 */
export function rope(
  x: Tensor,
  positions: Tensor,
  invFreq: Tensor,
  { heads, headDim }: RopeOptions,
): Tensor {
  checkReal('rope', x);
  checkRank('rope', 'x', x, 2);
  if (x.shape[1] !== heads * headDim || headDim % 2 !== 0) {
    shapeFault('rope', `[${x.shape.join(', ')}]`, `[T, ${heads} heads · ${headDim}], headDim even`);
  }
  checkInts('rope', 'positions', positions, x.shape[0]!);
  checkDType('rope', 'invFreq', invFreq, 'f32');
  if (invFreq.size !== headDim / 2) {
    shapeFault('rope invFreq', `[${invFreq.shape.join(', ')}]`, `[${headDim / 2}]`);
  }
  checkBackend('rope', x, positions);
  checkBackend('rope', x, invFreq);
  const rotate = (from: Tensor, at: Tensor, freq: Tensor, sign: number): Tensor => {
    const to = empty(from.shape, from.dtype, from.backend);
    from.backend.launch(
      'rope',
      [from.handle, at.handle, freq.handle, to.handle],
      [from.code, from.shape[0]!, heads, headDim, sign],
    );
    return to;
  };
  const y = rotate(x, positions, invFreq, 1);
  if (wantsGrad(x)) {
    record('rope', y, [x], [positions, invFreq], (dy, node) =>
      node.give(0, rotate(dy, node.saved[0]!, node.saved[1]!, -1)),
    );
  }
  return y;
}

/** Layout of an attention call; heads is a multiple of kvHeads, scale is 1/√headDim unless given. */
export interface AttentionOptions {
  heads: number;
  kvHeads: number;
  headDim: number;
  causal: boolean;
  scale?: number;
}

/**
 * softmax(scale · q kᵀ) v within each packed sequence. q [T, heads · headDim], k and v
 * [T, kvHeads · headDim] of one dtype, cuSeqlens i32 [B + 1] rising from 0 to T -> [T, heads · headDim].
 * Scores and statistics in f32. Saves q, k, v, the result and log-sum-exp f32 [heads, T].
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  cuSeqlens: Tensor,
  options: AttentionOptions,
): Tensor {
  const { heads, kvHeads, headDim, causal, scale = 1 / Math.sqrt(headDim) } = options;
  checkReal('attention', q);
  checkRank('attention', 'q', q, 2);
  const tokens = q.shape[0]!;
  if (heads % kvHeads !== 0) shapeFault('attention', `${heads} heads`, `a multiple of ${kvHeads}`);
  checkOperand('q', q, q, tokens, heads * headDim);
  checkOperand('k', k, q, tokens, kvHeads * headDim);
  checkOperand('v', v, q, tokens, kvHeads * headDim);
  checkInts('attention', 'cuSeqlens', cuSeqlens, null);
  checkBackend('attention', q, cuSeqlens);
  const args = [q.code, tokens, cuSeqlens.size - 1, heads, kvHeads, headDim, causal ? 1 : 0, scale];
  const y = empty(q.shape, q.dtype, q.backend);
  const lse = empty([heads, tokens], statDType(q.dtype), q.backend);
  q.backend.launch(
    'attention',
    [q.handle, k.handle, v.handle, cuSeqlens.handle, y.handle, lse.handle],
    args,
  );
  if (wantsGrad(q, k, v)) {
    record('attention', y, [q, k, v], [q, k, v, y, lse, cuSeqlens], (dy, node) => {
      const [sq, sk, sv, out, stats, cu] = node.saved as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
      ];
      const [dq, dk, dv] = [sq, sk, sv].map((t) => empty(t.shape, t.dtype, t.backend)) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      const inputs = [dy, sq, sk, sv, out, stats, cu, dq, dk, dv];
      dy.backend.launch(
        'attention_grad',
        inputs.map((t) => t.handle),
        args,
      );
      node.give(0, dq);
      node.give(1, dk);
      node.give(2, dv);
    });
  }
  lse.dispose();
  return y;
}

function checkOperand(what: string, t: Tensor, q: Tensor, tokens: number, width: number): void {
  checkDType('attention', what, t, q.dtype);
  checkBackend('attention', q, t);
  if (t.shape.length !== 2 || t.shape[0] !== tokens || t.shape[1] !== width) {
    shapeFault(`attention ${what}`, `[${t.shape.join(', ')}]`, `[${tokens}, ${width}]`);
  }
}
