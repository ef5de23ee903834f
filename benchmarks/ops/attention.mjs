/**
 * Attention and its gradient at the shapes of MiniLM-L6 and Qwen3-0.6B, at mixed lengths and on one
 * long sequence: GFLOP/s and share of this machine's multiply-add peak, measured in between.
 *
 *   npm run bench -- attention [--isa NAME] [--threads N] [--quick] [--record]
 *
 * With --threads 1 the thread's own clock counts, so other programs disturb the figures less.
 */
import { nativeRows } from '../lib/native-rows.mjs';

nativeRows(
  'attention',
  ({ kernel, dtype, shape }) => `${kernel.padEnd(15)}${dtype.padEnd(5)}${shape.padEnd(17)}`,
);
