import { record } from '../autograd/node';
import { empty, type Tensor } from '../tensor/tensor';
import { checkReal, checkSame, wantsGrad } from './shared/check';

/** silu(gate) · up elementwise (Shazeer 2020), one rounding. Saves both inputs. */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  checkReal('swiglu', gate);
  checkSame('swiglu', 'up', gate, up);
  const args = [gate.code, gate.size];
  const y = empty(gate.shape, gate.dtype, gate.backend);
  gate.backend.launch('swiglu', [gate.handle, up.handle, y.handle], args);
  if (wantsGrad(gate, up)) {
    record('swiglu', y, [gate, up], [gate, up], (dy, node) => {
      const [g, u] = node.saved as [Tensor, Tensor];
      const dg = empty(g.shape, g.dtype, g.backend);
      const du = empty(u.shape, u.dtype, u.backend);
      g.backend.launch('swiglu_grad', [dy.handle, g.handle, u.handle, dg.handle, du.handle], args);
      node.give(0, dg);
      node.give(1, du);
    });
  }
  return y;
}
