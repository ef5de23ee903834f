import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadNativeBackend } from '../src/backend/native';
import { ReferenceBackend } from '../src/backend/reference/backend';
import { add, BackendError, FrozenWeight, getBackend, InputError, tensor } from '../src/index';

const native = loadNativeBackend().backend;
const built = new URL('../../../native/build/Release/unimoer_cpu.node', import.meta.url);
const index = new URL('../src/index.ts', import.meta.url).href;

/** Runs a program in a fresh process with other settings. */
function run(program: string, env: Record<string, string>) {
  const child = spawnSync(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', `import * as u from '${index}';\n${program}`],
    {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      env: { ...process.env, ...env },
      encoding: 'utf8',
    },
  );
  return { out: child.stdout.trim(), lines: child.stderr.trim().split('\n').filter(Boolean) };
}

const sumOfTwo = `
  const y = u.add(u.tensor([1], [1]), u.tensor([2], [1]));
  console.log(u.backendInfo().name, u.backendInfo().reason ?? '', y.item());
  u.getBackend(); u.backendInfo();`;

describe('choosing a backend', () => {
  // Tests of the native backend skip without it: a build that has fallen behind the sources must not pass for none.
  test.skipIf(!existsSync(built))('the addon that was built loads', () => {
    expect(loadNativeBackend().reason).toBeNull();
  });

  test('falls back to the reference with one line when the addon does not load', () => {
    const { out, lines } = run(sumOfTwo, { UNIMOER_CPU_ADDON: '/nowhere/cpu.node' });
    expect(out).toMatch(/^reference the addon .*nowhere.* does not load .* 3$/);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/slow reference backend because .*`npm run build:native`/);
  });

  test('asked for native without an addon, throws with the same reason', () => {
    const program = `
      try { u.getBackend(); } catch (e) { console.log(e.code, e.message); }
      try { u.getBackend('native'); } catch (e) { console.log(e.code); }`;
    const { out, lines } = run(program, {
      UNIMOER_CPU_ADDON: '/nowhere/cpu.node',
      UNIMOER_BACKEND: 'native',
    });
    expect(out).toMatch(
      /^BACKEND backend native: got the addon .* expected .*compiler.*\nBACKEND$/,
    );
    expect(lines).toEqual([]);
  });

  test('obeys UNIMOER_BACKEND, and refuses unknown names', () => {
    expect(run(sumOfTwo, { UNIMOER_BACKEND: 'reference' })).toEqual({
      out: 'reference  3',
      lines: [],
    });
    const program = 'try { u.getBackend(); } catch (e) { console.log(e.message); }';
    expect(run(program, { UNIMOER_BACKEND: 'gpu' }).out).toMatch(/got gpu, expected native or ref/);
  });

  test('refuses inputs of two backends, and handles it does not know', () => {
    const other = new ReferenceBackend();
    const [a, b] = [getBackend('reference'), other].map((backend) => tensor([1], [1], { backend }));
    expect(() => add(a!, b!)).toThrow(/add: got tensors on/);
    expect(() => other.free(12345)).toThrow(BackendError);
    a!.dispose();
    b!.dispose();
  });
});

describe.skipIf(!native)('the native backend', () => {
  test('turns a bad index into a typed error that names the kernel', () => {
    const table = tensor([1, 2], [2, 1], { backend: native! });
    const [out, idx] = [native!.alloc(4), tensor([5], [1], { backend: native!, dtype: 'i32' })];
    expect(() =>
      native!.launch('gather_rows', [table.handle, idx.handle, out], [0, 0, 1, 1, 2]),
    ).toThrow(/^gather_rows: got /);
    native!.free(out);
    table.dispose();
    idx.dispose();
  });

  test('survives a request for too much memory', () => {
    expect(() => native!.alloc(2 ** 52)).toThrow(/^alloc: got a request for/);
  });
});

describe('frozen weights', () => {
  test('with NaN or infinity are refused by name', () => {
    const pack = (w: Float32Array | Uint16Array) =>
      FrozenWeight.pack(w, [1, 2], { dtype: 'f32', name: 'layer.0.query' });
    expect(() => pack(Float32Array.of(1, Number.NaN))).toThrow(InputError);
    expect(() => pack(Uint16Array.of(0x3f80, 0x7f80))).toThrow(/layer\.0\.query.*index 1/);
  });
});
