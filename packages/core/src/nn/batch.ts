import type { Backend } from '../backend/types';
import { getBackend } from '../backend/registry';
import { ShapeError } from '../errors';
import { tensor } from '../tensor/create';
import type { Tensor } from '../tensor/tensor';
import { keep } from '../tensor/scope';

/** What a sequence is for. */
export type Task = 'embedding' | 'reranking';

/** Token sequences end to end, without padding; T tokens in B sequences. */
export interface PackedBatch {
  /** i32 [T]. */
  inputIds: Tensor;
  /** Position of each token in its sequence, i32 [T]. */
  positions: Tensor;
  /** Starts of the sequences and T, i32 [B + 1]. */
  cuSeqlens: Tensor;
  /** Sequence of each token, i32 [T]. */
  rowToSequence: Tensor;
  lengths: number[];
  sequences: number;
  tokens: number;
  /** Task of each sequence. */
  tasks?: Task[];
  /** Segment ids, i32 [T]. */
  tokenTypes?: Tensor;
}

/** Extras of a batch; positions count from positionOffset. */
export interface PackBatchOptions {
  backend?: Backend;
  tasks?: Task[];
  tokenTypes?: readonly ArrayLike<number>[];
  positionOffset?: number;
}

/** Packs token ids. The tensors are kept: free them with {@link disposeBatch}. */
export function packBatch(
  sequences: readonly ArrayLike<number>[],
  options: PackBatchOptions = {},
): PackedBatch {
  const { backend = getBackend(), tasks, tokenTypes, positionOffset = 0 } = options;
  const lengths = sequences.map((s) => s.length);
  const tokens = lengths.reduce((n, length) => n + length, 0);
  if (sequences.length === 0 || lengths.includes(0)) {
    throw new ShapeError({
      where: 'packBatch',
      got: sequences.length === 0 ? 'no sequences' : `an empty sequence at ${lengths.indexOf(0)}`,
      expected: 'at least one token in every sequence',
    });
  }
  if (tasks && tasks.length !== sequences.length) {
    throw new ShapeError({
      where: 'packBatch tasks',
      got: `${tasks.length}`,
      expected: `one for each of ${sequences.length} sequences`,
    });
  }
  const flat = (rows: readonly ArrayLike<number>[], what: string): Int32Array => {
    const out = new Int32Array(tokens);
    let start = 0;
    rows.forEach((row, s) => {
      if (row.length !== lengths[s]) {
        throw new ShapeError({
          where: `packBatch ${what} ${s}`,
          got: `${row.length} values`,
          expected: `${lengths[s]}`,
        });
      }
      out.set(row, start);
      start += row.length;
    });
    return out;
  };
  const ints = (data: Int32Array): Tensor => keep(tensor(data, [data.length], { backend }));
  const positions = new Int32Array(tokens);
  const rowToSequence = new Int32Array(tokens);
  const cuSeqlens = new Int32Array(sequences.length + 1);
  let row = 0;
  lengths.forEach((length, s) => {
    for (let p = 0; p < length; p++, row++) {
      positions[row] = p + positionOffset;
      rowToSequence[row] = s;
    }
    cuSeqlens[s + 1] = row;
  });
  return {
    inputIds: ints(flat(sequences, 'sequence')),
    positions: ints(positions),
    cuSeqlens: ints(cuSeqlens),
    rowToSequence: ints(rowToSequence),
    lengths,
    sequences: sequences.length,
    tokens,
    ...(tasks ? { tasks } : {}),
    ...(tokenTypes ? { tokenTypes: ints(flat(tokenTypes, 'tokenTypes')) } : {}),
  };
}

/** Frees a batch's tensors. */
export function disposeBatch(batch: PackedBatch): void {
  batch.inputIds.dispose();
  batch.positions.dispose();
  batch.cuSeqlens.dispose();
  batch.rowToSequence.dispose();
  batch.tokenTypes?.dispose();
}
