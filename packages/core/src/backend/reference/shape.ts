import { philoxBlock } from '../../rng/philox-block';
import { launchLimits } from '../kernels';
import type { Call } from './call';

function copy2d(c: Call): void {
  const [dt, rows, cols, xStride, xOffset, yStride, yOffset] = c.numbers(7);
  if (rows === 0 || cols === 0) return;
  const x = c.input(0, dt, xOffset + (rows - 1) * xStride + cols);
  const y = c.output(1, dt, yOffset + (rows - 1) * yStride + cols);
  for (let r = 0; r < rows; r++) {
    const start = xOffset + r * xStride;
    y.set(x.subarray(start, start + cols), yOffset + r * yStride);
  }
}

/** The columns of the parts side by side in rows of the whole, or taken apart. */
function concat(c: Call): void {
  const [dt, rows, stride, offset, split] = c.numbers(5);
  const whole = split ? c.input(0, dt, rows * stride) : c.output(0, dt, rows * stride);
  let at = offset;
  for (let i = 0; i < launchLimits.concatParts; i++) {
    const width = c.arg(5 + i);
    if (c.has(1 + i) && width > 0) {
      const part = split ? c.output(1 + i, dt, rows * width) : c.input(1 + i, dt, rows * width);
      for (let r = 0; r < rows; r++) {
        const place = r * stride + at;
        if (split) part.set(whole.subarray(place, place + width), r * width);
        else whole.set(part.subarray(r * width, r * width + width), place);
      }
    }
    at += width;
  }
}

function transpose(c: Call): void {
  const [dt, rows, cols] = [c.arg(0), c.arg(1), c.arg(2)];
  const x = c.input(0, dt, rows * cols);
  const y = c.output(1, dt, rows * cols);
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < cols; j++) y[j * rows + r] = x[r * cols + j]!;
  }
}

/**
 * Element i draws word i mod 4 of Philox block offset + floor(i / 4) under the seed, as a uniform
 * number with 24 bits; it is dropped when that is below p.
 */
function dropout(c: Call): void {
  const [dt, n, p, seedLo, seedHi, offset] = c.numbers(6);
  const x = c.input(0, dt, n);
  const y = c.output(1, dt, n);
  const scale = 1 / (1 - p);
  const words = new Uint32Array(4);
  for (let i = 0; i < n; i++) {
    if (i % 4 === 0) {
      const block = offset + i / 4;
      philoxBlock(words, block >>> 0, Math.floor(block / 2 ** 32), 0, 0, seedLo, seedHi);
    }
    y[i] = (words[i % 4]! >>> 8) / 2 ** 24 < p ? 0 : x[i]! * scale;
  }
}

function gatherRows(c: Call): void {
  const [dtTable, dty, count, cols, nRows] = c.numbers(5);
  const table = c.input(0, dtTable, nRows * cols);
  const index = c.ints(1, count);
  const y = c.output(2, dty, count * cols);
  for (let i = 0; i < count; i++) {
    const row = checkedRow(c, index[i]!, nRows);
    y.set(table.subarray(row * cols, row * cols + cols), i * cols);
  }
}

function scatterAddRows(c: Call): void {
  const [dt, count, cols, nRows] = c.numbers(4);
  const dy = c.input(0, dt, count * cols);
  const index = c.ints(1, count);
  const table = c.output(2, dt === 3 ? 3 : 0, nRows * cols).fill(0);
  for (let i = 0; i < count; i++) {
    const base = checkedRow(c, index[i]!, nRows) * cols;
    for (let j = 0; j < cols; j++) table[base + j] = table[base + j]! + dy[i * cols + j]!;
  }
}

function checkedRow(c: Call, row: number, nRows: number): number {
  if (row < 0 || row >= nRows) c.fail(`row index ${row}`, `0 to ${nRows - 1}`);
  return row;
}

export const shape = {
  copy_2d: copy2d,
  concat,
  transpose,
  dropout,
  gather_rows: gatherRows,
  scatter_add_rows: scatterAddRows,
};
