import { statDType } from '../../dtype';
import { empty, type Tensor } from '../../tensor/tensor';

/** Axis of a reduction: the last one, the rows of a matrix, or everything. */
export type ReduceAxis = 0 | -1 | null;

/** Sums of x seen as [rows, cols] along an axis, in f32 (f64 for f64), outside the tape. */
export function sumGroups(
  x: Tensor,
  rows: number,
  cols: number,
  axis: ReduceAxis,
  shape: readonly number[],
): Tensor {
  const y = empty(shape, statDType(x.dtype), x.backend);
  if (axis === 0) x.backend.launch('sum_rows', [x.handle, y.handle], [x.code, rows, cols]);
  else if (axis === -1) x.backend.launch('sum_cols', [x.handle, y.handle], [x.code, rows, cols]);
  else x.backend.launch('sum_cols', [x.handle, y.handle], [x.code, 1, rows * cols]);
  return y;
}
