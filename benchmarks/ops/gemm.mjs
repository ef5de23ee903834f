/**
 * Frozen-weight products, adapted linears and skinny products at the shapes of MiniLM-L6 and
 * Qwen3-0.6B: GFLOP/s and share of this machine's multiply-add peak, which is measured in between.
 *
 *   npm run bench -- gemm [--isa NAME] [--threads N] [--quick] [--record]
 *
 * With --threads 1 the thread's own clock counts, so other programs disturb the figures less.
 */
import { nativeRows } from '../lib/native-rows.mjs';

nativeRows('gemm', ({ kernel, dtype, m, n, k, ranks }) => {
  const size = `${m} x ${n} x ${k}${ranks ? ` rank ${ranks}` : ''}`;
  return `${kernel.padEnd(21)}${dtype.padEnd(5)}${size.padEnd(28)}`;
});
