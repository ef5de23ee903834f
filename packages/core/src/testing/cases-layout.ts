import { gatherRows } from '../ops/gather';
import { concat, sliceCols, sliceRows, transpose } from '../ops/layout';
import { l2Normalize, segmentMean } from '../ops/pooling';
import { topKMask } from '../ops/routing';
import { logSoftmax, softmax } from '../ops/softmax';
import type { ReduceAxis } from '../ops/shared/sum-groups';
import { mean, sum } from '../ops/sum';
import { scale } from '../ops/unary';
import { add } from '../ops/binary';
import { data, integers, type OpCase, row } from './case';

const axes: ReduceAxis[] = [null, 0, -1];

export const layoutCases: OpCase[] = [
  ...axes.map((axis) => row('sum', `axis ${axis}`, [data([5, 19])], ([x]) => sum(x!, { axis }))),
  ...axes.map((axis) => row('mean', `axis ${axis}`, [data([5, 19])], ([x]) => mean(x!, { axis }))),
  row('mean', 'three dimensions', [data([2, 3, 7])], ([x]) => mean(x!, { axis: -1 })),
  row('softmax', '[4, 33]', [data([4, 33])], ([x]) => softmax(x!)),
  row('logSoftmax', '[4, 33]', [data([4, 33])], ([x]) => logSoftmax(x!)),
  row('transpose', '[5, 19]', [data([5, 19])], ([x]) => transpose(x!)),
  row('concat', 'rows', [data([2, 9]), data([3, 9])], (x) => concat(x, 0)),
  row('concat', 'columns', [data([3, 4]), data([3, 7])], (x) => concat(x, -1)),
  row('sliceRows', '1 to 4 of 6', [data([6, 5])], ([x]) => sliceRows(x!, 1, 4)),
  row('sliceCols', '2 to 9 of 11', [data([3, 11])], ([x]) => sliceCols(x!, 2, 9)),
  row('sliceCols', 'overlapping uses', [data([3, 8])], ([x]) =>
    add(sliceCols(x!, 0, 5), scale(sliceCols(x!, 3, 8), 2)),
  ),
  row('gatherRows', 'repeated rows', [data([5, 18]), integers([4, 0, 4, 2, 4])], ([x, i]) =>
    gatherRows(x!, i!),
  ),
  row('segmentMean', 'lengths 1, 5, 3', [data([9, 20]), integers([0, 1, 6, 9])], ([x, cu]) =>
    segmentMean(x!, cu!),
  ),
  row('l2Normalize', '[4, 33]', [data([4, 33])], ([x]) => l2Normalize(x!)),
  row('topKMask', 'k = 2 of 5', [data([6, 5])], ([p]) => topKMask(p!, 2), {
    dtypes: ['f32'],
    differentiable: false,
  }),
];
