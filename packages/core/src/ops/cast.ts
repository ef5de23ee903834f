import { record } from '../autograd/node';
import type { DType } from '../dtype';
import { empty, type Tensor } from '../tensor/tensor';
import { wantsGrad } from './shared/check';

/** x in another dtype, rounded to nearest even towards bf16; returns x itself where nothing changes. The gradient is cast back. */
export function cast(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x;
  const y = empty(x.shape, dtype, x.backend);
  x.backend.launch('cast', [x.handle, y.handle], [x.code, y.code, x.size]);
  if (wantsGrad(x)) {
    const from = x.dtype;
    record('cast', y, [x], [], (dy, node) => node.give(0, cast(dy, from)));
  }
  return y;
}
