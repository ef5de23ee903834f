import { spawnSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { buildNativeTests } from '../../scripts/test-native.mjs';
import { record } from './record.mjs';

/**
 * Builds and runs the native program bench_NAME with the options of the command line (--isa, --threads, --quick),
 * prints a line per row behind what `label` makes of it, and records the rows with --record.
 */
export function nativeRows(name, label) {
  const { values } = parseArgs({
    options: {
      isa: { type: 'string', default: '' },
      threads: { type: 'string', default: '' },
      quick: { type: 'boolean', default: false },
      record: { type: 'boolean', default: false },
    },
  });
  const program = buildNativeTests('', [`bench_${name}`]).get(`bench_${name}`);
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
      `${row.isa.padEnd(11)}${label(row)}` +
        `${row.ms.toFixed(3).padStart(9)} ms ${row.gflops.toFixed(1).padStart(7)} GFLOP/s ` +
        `${(100 * row.share).toFixed(1).padStart(5)} % of ${row.peak.toFixed(0)}`,
    );
  }
  if (!values.record) return;
  const suffix = [
    values.isa && `-${values.isa}`,
    values.threads && `-threads-${values.threads}`,
  ].join('');
  record(`${name}${suffix}`, { load: loadavg()[0], rows });
}
