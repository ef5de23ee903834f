/** Ops that move elements: transpose, concat and slices. Gradients move them back. */
import { record } from '../autograd/node';
import { launchLimits } from '../backend/kernels';
import { empty, type Tensor } from '../tensor/tensor';
import {
  checkBackend,
  checkDType,
  checkRank,
  lastDim,
  rowsOf,
  shapeFault,
  wantsGrad,
} from './shared/check';

/** [n, m] -> [m, n]. */
export function transpose(x: Tensor): Tensor {
  checkRank('transpose', 'shape', x, 2);
  const [rows, cols] = x.shape as [number, number];
  const y = empty([cols, rows], x.dtype, x.backend);
  x.backend.launch('transpose', [x.handle, y.handle], [x.code, rows, cols]);
  if (wantsGrad(x)) record('transpose', y, [x], [], (dy, node) => node.give(0, transpose(dy)));
  return y;
}

/** Copies a block of cols columns and rows rows between row strides. */
function copyBlock(
  x: Tensor,
  y: Tensor,
  rows: number,
  cols: number,
  [xStride, xOffset]: readonly [number, number],
  [yStride, yOffset]: readonly [number, number],
): void {
  if (rows === 0 || cols === 0) return;
  x.backend.launch(
    'copy_2d',
    [x.handle, y.handle],
    [x.code, rows, cols, xStride, xOffset, yStride, yOffset],
  );
}

/** Joins tensors of one dtype along the first axis (0) or the last (-1); other axes agree. i32 allowed. */
export function concat(tensors: readonly Tensor[], axis: 0 | -1): Tensor {
  const first = tensors[0];
  if (!first) shapeFault('concat', 'no tensors', 'at least one');
  if (first.shape.length === 0) shapeFault('concat', 'a scalar', 'at least one dimension');
  const rank = first.shape.length;
  const joined = axis === 0 ? 0 : rank - 1;
  const fits = (t: Tensor): boolean =>
    t.shape.length === rank && t.shape.every((n, i) => i === joined || n === first.shape[i]);
  for (const t of tensors) {
    checkDType('concat', 'input', t, first.dtype);
    checkBackend('concat', first, t);
    if (!fits(t)) {
      shapeFault(
        'concat',
        `[${t.shape.join(', ')}]`,
        `[${first.shape.join(', ')}] but for one axis`,
      );
    }
  }
  const along = (t: Tensor): number => (axis === 0 ? t.shape[0]! : lastDim(t));
  const total = tensors.reduce((n, t) => n + along(t), 0);
  const shape = [...first.shape];
  shape[joined] = total;
  const y = empty(shape, first.dtype, first.backend);
  // Along the first axis everything is one row; along the last, each input is a block of columns.
  const rows = axis === 0 ? 1 : rowsOf(first);
  const widths = tensors.map((t) => (axis === 0 ? t.size : lastDim(t)));
  copyParts(y, tensors, rows, widths, false);
  if (wantsGrad(...tensors)) {
    const shapes = tensors.map((t) => t.shape);
    record('concat', y, tensors, [], (dy, node) => {
      const parts = shapes.map((s, i) => (node.needs(i) ? empty(s, dy.dtype, dy.backend) : null));
      copyParts(dy, parts, rows, widths, true);
      parts.forEach((dx, i) => {
        if (dx) node.give(i, dx);
      });
    });
  }
  return y;
}

/** Copies parts of the given widths into rows of the whole, or out of them; null is passed over. */
function copyParts(
  whole: Tensor,
  parts: readonly (Tensor | null)[],
  rows: number,
  widths: readonly number[],
  split: boolean,
): void {
  const stride = widths.reduce((n, width) => n + width, 0);
  let offset = 0;
  for (let first = 0; first < parts.length; first += launchLimits.concatParts) {
    const handles = new Array<number>(1 + launchLimits.concatParts).fill(0);
    const args = new Array<number>(5 + launchLimits.concatParts).fill(0);
    handles[0] = whole.handle;
    args.splice(0, 5, whole.code, rows, stride, offset, split ? 1 : 0);
    for (let i = 0; i < launchLimits.concatParts && first + i < parts.length; i++) {
      handles[1 + i] = parts[first + i]?.handle ?? 0;
      args[5 + i] = widths[first + i]!;
      offset += widths[first + i]!;
    }
    whole.backend.launch('concat', handles, args);
  }
}

/** Rows start to end (exclusive) along the first axis: [n, ...] -> [end − start, ...]. */
export function sliceRows(x: Tensor, start: number, end: number): Tensor {
  const n = x.shape[0] ?? 0;
  checkRange('sliceRows', start, end, n);
  const width = n === 0 ? 0 : x.size / n;
  const shape = [end - start, ...x.shape.slice(1)];
  return slice('sliceRows', x, shape, 1, (end - start) * width, x.size, start * width);
}

/** Columns start to end (exclusive) along the last axis: [..., n] -> [..., end − start]. */
export function sliceCols(x: Tensor, start: number, end: number): Tensor {
  const n = lastDim(x);
  checkRange('sliceCols', start, end, n);
  const shape = [...x.shape.slice(0, -1), end - start];
  return slice('sliceCols', x, shape, rowsOf(x), end - start, n, start);
}

function checkRange(op: string, start: number, end: number, n: number): void {
  if (
    !(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= n)
  ) {
    shapeFault(op, `${start} to ${end}`, `a range within 0 to ${n}`);
  }
}

function slice(
  op: string,
  x: Tensor,
  shape: readonly number[],
  rows: number,
  width: number,
  stride: number,
  offset: number,
): Tensor {
  const y = empty(shape, x.dtype, x.backend);
  copyBlock(x, y, rows, width, [stride, offset], [width, 0]);
  if (wantsGrad(x)) {
    const full = x.shape;
    record(op, y, [x], [], (dy, node) => {
      const dx = empty(full, dy.dtype, dy.backend);
      dx.backend.launch('fill', [dx.handle], [dx.code, dx.size, 0]);
      copyBlock(dy, dx, rows, width, [width, 0], [stride, offset]);
      node.give(0, dx);
    });
  }
  return y;
}
