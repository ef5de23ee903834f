import { gatherRows, type PackedBatch, segmentMean, type Tensor, tensor } from '@unimoer/core';
import type { PoolingMode } from './config/sentence-transformers';

export interface PoolOptions {
  /** Leading tokens of every sequence that mean pooling leaves out (`include_prompt: false`). */
  skip?: number;
}

/**
 * One state per sequence, f32 `[sequences, hiddenSize]`, from `[tokens, hiddenSize]`: the mean of all tokens,
 * the last or the first one. Differentiable; not normalised. A sequence that `skip` leaves empty gives zeros.
 */
export function pool(
  hidden: Tensor,
  batch: PackedBatch,
  mode: PoolingMode,
  options: PoolOptions = {},
): Tensor {
  const skip = options.skip ?? 0;
  if (mode === 'mean') {
    return skip === 0 ? segmentMean(hidden, batch.cuSeqlens) : meanBehind(hidden, batch, skip);
  }
  const ends = starts(batch.lengths);
  const rows = batch.lengths.map((length, i) => ends[i]! + (mode === 'last' ? length - 1 : 0));
  return gatherRows(hidden, indices(rows, batch), { dtype: 'f32' });
}

function meanBehind(hidden: Tensor, batch: PackedBatch, skip: number): Tensor {
  const first = starts(batch.lengths);
  const rows: number[] = [];
  const cu = [0];
  batch.lengths.forEach((length, i) => {
    for (let t = skip; t < length; t++) rows.push(first[i]! + t);
    cu.push(rows.length);
  });
  return segmentMean(gatherRows(hidden, indices(rows, batch)), indices(cu, batch));
}

function starts(lengths: readonly number[]): number[] {
  let at = 0;
  return lengths.map((length) => {
    at += length;
    return at - length;
  });
}

function indices(values: readonly number[], batch: PackedBatch): Tensor {
  const backend = batch.inputIds.backend;
  return tensor(Int32Array.from(values), [values.length], { dtype: 'i32', backend });
}
