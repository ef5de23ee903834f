/** The multiply-add peak of this machine under an instruction set, measured by native/tests/bench_gemm.cpp. */
import { execFileSync } from 'node:child_process';
import { buildNativeTests } from '../../scripts/test-native.mjs';

let program = null;
const seen = new Map();

/** GFLOP/s by dtype, the highest of all calls so far: another program can lower a figure, nothing can raise it. */
export function measurePeak(isa, threads) {
  program ??= buildNativeTests('', ['bench_gemm']).get('bench_gemm');
  const now = JSON.parse(
    execFileSync(program, [isa, 'peak', String(threads)], { encoding: 'utf8' }),
  );
  const key = `${now.isa} ${threads}`;
  const before = seen.get(key) ?? { f32: 0, bf16: 0 };
  const best = { f32: Math.max(before.f32, now.f32), bf16: Math.max(before.bf16, now.bf16) };
  seen.set(key, best);
  return best;
}
