import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { loadNativeBackend } from '../src/backend/native';
import { DTypeError, getBackend, setDefaultBackend, tensor } from '../src/index';
import type { OpCase } from '../src/testing/case';
import { opCases } from '../src/testing/op-cases';
import { differences, outcome } from '../src/testing/outcome';

const native = loadNativeBackend().backend;
const reference = getBackend('reference');
const rows = opCases.flatMap((spec) => spec.dtypes.map((dtype) => ({ ...spec, dtype })));

/** Fingerprint of all bits of a case's native outcome. */
function digest(spec: OpCase, dtype: 'f32' | 'bf16'): string {
  const { value, grads } = outcome(spec, dtype, native!);
  const hash = createHash('sha256');
  for (const part of [value, ...grads]) if (part) hash.update(part);
  return hash.digest('hex');
}

describe.skipIf(!native)('the native backend agrees with the reference', () => {
  test.each(rows)('$op: $label in $dtype', (spec) => {
    setDefaultBackend(native!);
    const got = outcome(spec, spec.dtype, native!);
    setDefaultBackend(reference);
    const want = outcome(spec, spec.dtype, reference);
    expect(differences(spec, spec.dtype, got, want)).toEqual([]);
  });

  test('f64 is refused with a typed error before it reaches a kernel', () => {
    expect(() => tensor([1], [1], { dtype: 'f64', backend: native! })).toThrow(DTypeError);
  });

  test('gives the same bits with 1, 2 and 4 threads', () => {
    setDefaultBackend(native!);
    const large = rows.filter((c) => c.large);
    const before = native!.threads();
    const bits = [1, 2, 4].map((threads) => {
      native!.setThreads(threads);
      return large.map((c) => `${c.op}, ${c.label}, ${c.dtype}: ${digest(c, c.dtype)}`);
    });
    native!.setThreads(before);
    expect(bits[1]).toEqual(bits[0]);
    expect(bits[2]).toEqual(bits[0]);
  });

  afterAll(() => {
    expect(native!.memory().liveBuffers).toBe(0);
  });
});

describe.skipIf(!native)('every instruction set this machine has', () => {
  const isas = native ? native.addon.availableIsas() : [];
  const testing = new URL('../src/testing/', import.meta.url).href;
  const program = `
    import { getBackend, setDefaultBackend } from '${new URL('../src/index.ts', import.meta.url).href}';
    import { opCases } from '${testing}op-cases.ts';
    import { differences, outcome } from '${testing}outcome.ts';
    const faults = [];
    const run = (spec, dtype, backend) => {
      setDefaultBackend(backend);
      return outcome(spec, dtype, backend);
    };
    for (const spec of opCases.filter((c) => !c.large)) {
      for (const dtype of spec.dtypes) {
        const [got, want] = ['native', 'reference'].map((b) => run(spec, dtype, getBackend(b)));
        faults.push(...differences(spec, dtype, got, want));
      }
    }
    console.log(JSON.stringify({ isa: getBackend('native').isa(), faults }));`;

  test.each(isas)('%s agrees with the reference', (isa) => {
    const child = spawnSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', program],
      {
        cwd: fileURLToPath(new URL('..', import.meta.url)),
        env: { ...process.env, UNIMOER_CPU_ISA: isa },
        encoding: 'utf8',
      },
    );
    expect(child.stderr).toBe('');
    expect(JSON.parse(child.stdout)).toEqual({ isa, faults: [] });
  });
});
