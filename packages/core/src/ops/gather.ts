import { record } from '../autograd/node';
import { type DType, statDType } from '../dtype';
import { empty, type Tensor } from '../tensor/tensor';
import { cast } from './cast';
import { checkBackend, checkInts, checkRank, checkReal, wantsGrad } from './shared/check';

/** Rows of table [n, d] at idx i32 [m] -> [m, d], in the table's dtype or options.dtype. The gradient is summed per row in f32. */
export function gatherRows(table: Tensor, idx: Tensor, options: { dtype?: DType } = {}): Tensor {
  checkReal('gatherRows', table);
  checkRank('gatherRows', 'table', table, 2);
  checkInts('gatherRows', 'idx', idx, null);
  checkBackend('gatherRows', table, idx);
  const [n, d] = table.shape as [number, number];
  const y = empty([idx.size, d], options.dtype ?? table.dtype, table.backend);
  table.backend.launch(
    'gather_rows',
    [table.handle, idx.handle, y.handle],
    [table.code, y.code, idx.size, d, n],
  );
  if (wantsGrad(table)) {
    const from = table.dtype;
    record('gatherRows', y, [table], [idx], (dy, node) => {
      const index = node.saved[0]!;
      const sums = empty([n, d], statDType(dy.dtype), dy.backend);
      dy.backend.launch(
        'scatter_add_rows',
        [dy.handle, index.handle, sums.handle],
        [dy.code, index.size, d, n],
      );
      // The gradient of a leaf is f32, so a bf16 table takes the sums as they are.
      const leaf = node.inputs[0]!.leaf !== null;
      node.give(0, from === 'bf16' && leaf ? sums : cast(sums, from));
    });
  }
  return y;
}
