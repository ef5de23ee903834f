import { record } from '../autograd/node';
import { empty, type Tensor } from '../tensor/tensor';
import { checkReal, lastDim, rowsOf, shapeFault, wantsGrad } from './shared/check';
import { type ReduceAxis, sumGroups } from './shared/sum-groups';

/** Sum along the last axis ([..., n] -> [...]), over rows (axis 0, [n, m] -> [m]) or of everything (null -> []). f32 result. */
export function sum(x: Tensor, options: { axis?: ReduceAxis } = {}): Tensor {
  return reduce('sum', x, options.axis ?? null, 1);
}

/** Mean with the axes of {@link sum}. f32 result. */
export function mean(x: Tensor, options: { axis?: ReduceAxis } = {}): Tensor {
  const axis = options.axis ?? null;
  const count = axis === null ? x.size : axis === 0 ? x.shape[0]! : lastDim(x);
  return reduce('mean', x, axis, 1 / count);
}

function reduce(op: string, x: Tensor, axis: ReduceAxis, factor: number): Tensor {
  checkReal(op, x);
  if (axis === 0 && x.shape.length !== 2) {
    shapeFault(op, `[${x.shape.join(', ')}] with axis 0`, 'two dimensions');
  }
  const [rows, cols] = [rowsOf(x), lastDim(x)];
  const shape = axis === null ? [] : axis === 0 ? [cols] : x.shape.slice(0, -1);
  const y = sumGroups(x, rows, cols, axis, shape);
  if (factor !== 1) {
    y.backend.launch('affine', [y.handle, y.handle], [y.code, y.size, factor, 0]);
  }
  if (wantsGrad(x)) {
    const { shape: full, dtype } = x;
    const mode = axis === null ? 1 : axis === 0 ? 2 : 3;
    record(op, y, [x], [], (dy, node) => {
      const dx = empty(full, dtype, dy.backend);
      const { backend } = dx;
      backend.launch('fill', [dx.handle], [dx.code, dx.size, 0]);
      backend.launch(
        'add',
        [dx.handle, dy.handle, dx.handle],
        [dx.code, mode, mode === 1 ? 1 : rows, mode === 1 ? dx.size : cols, dy.code],
      );
      if (factor !== 1) {
        backend.launch('affine', [dx.handle, dx.handle], [dx.code, dx.size, factor, 0]);
      }
      node.give(0, dx);
    });
  }
  return y;
}
