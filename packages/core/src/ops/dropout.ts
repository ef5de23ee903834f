import { record } from '../autograd/node';
import { empty, type Tensor } from '../tensor/tensor';
import { checkReal, shapeFault, wantsGrad } from './shared/check';

/** Seed of a run and the first Philox block of this call; equal values drop equal elements. */
export interface DropoutOptions {
  seed: bigint | number;
  offset: number;
}

/**
 * Zeroes elements with probability p and scales the rest by 1 / (1 − p). The mask comes from a counter
 * (Philox), one block of four per four elements, so it is recomputed in the gradient and never stored.
 */
export function dropout(x: Tensor, p: number, { seed, offset }: DropoutOptions): Tensor {
  checkReal('dropout', x);
  if (!(p >= 0 && p < 1)) shapeFault('dropout', `p = ${p}`, '0 <= p < 1');
  if (p === 0) return x;
  const key = BigInt.asUintN(64, BigInt(seed));
  const args = [x.code, x.size, p, Number(key & 0xffffffffn), Number(key >> 32n), offset];
  const apply = (from: Tensor): Tensor => {
    const to = empty(from.shape, from.dtype, from.backend);
    from.backend.launch('dropout', [from.handle, to.handle], args);
    return to;
  };
  const y = apply(x);
  if (wantsGrad(x)) record('dropout', y, [x], [], (dy, node) => node.give(0, apply(dy)));
  return y;
}
