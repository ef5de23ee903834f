/**
 * Attention and its gradient at the shapes of MiniLM-L6 and Qwen3-0.6B, at mixed lengths and on one
 * long sequence: GFLOP/s and share of this machine's multiply-add peak, measured in between.
 *
 *   npm run bench -- attention [--isa NAME] [--threads N] [--quick] [--record]
 *
 * With --threads 1 the thread's own clock counts, so other programs disturb the figures less.
 */
import { spawnSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { buildNativeTests } from '../../scripts/test-native.mjs';
import { record } from '../lib/record.mjs';

const { values } = parseArgs({
  options: {
    isa: { type: 'string', default: '' },
    threads: { type: 'string', default: '' },
    quick: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
  },
});
const program = buildNativeTests('', ['bench_attention']).get('bench_attention');
const args = [values.isa, values.quick ? 'quick' : '', values.threads];
const result = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
if (result.status !== 0) {
  process.stderr.write(result.stderr);
  process.exit(result.status ?? 1);
}
const rows = result.stdout
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
for (const row of rows) {
  console.log(
    `${row.isa.padEnd(11)}${row.kernel.padEnd(15)}${row.dtype.padEnd(5)}${row.shape.padEnd(17)}` +
      `${row.ms.toFixed(3).padStart(9)} ms ${row.gflops.toFixed(1).padStart(7)} GFLOP/s ` +
      `${(100 * row.share).toFixed(1).padStart(5)} % of ${row.peak.toFixed(0)}`,
  );
}
if (values.record)
  record(values.threads ? `attention-threads-${values.threads}` : 'attention', {
    load: loadavg()[0],
    rows,
  });
