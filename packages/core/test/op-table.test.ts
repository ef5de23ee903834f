import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { kernelRows } from '../src/backend/kernels';
import { referenceKernels } from '../src/backend/reference/table';
import { compatMarkdown } from '../src/testing/compat';
import { opCases } from '../src/testing/op-cases';

const root = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

describe('the op table', () => {
  test('lists the same kernels as the native header', () => {
    const definition = read('native/include/unimoer/kernels.def');
    const rows = [...definition.matchAll(/^UNIMOER_KERNEL\((\w+), (\d+), (\d+)\)$/gm)].map(
      ([, name, buffers, args]) => [name, Number(buffers), Number(args)],
    );
    expect(kernelRows).toEqual(rows);
  });

  test('has every kernel on the reference backend', () => {
    expect(Object.keys(referenceKernels).sort()).toEqual(kernelRows.map(([name]) => name).sort());
  });

  test('has a case for every exported op', async () => {
    const folder = new URL('../src/ops/', import.meta.url);
    const files = readdirSync(folder).filter((f) => f.endsWith('.ts') && f !== 'frozen-weight.ts');
    const modules = await Promise.all(files.map((f) => import(new URL(f, folder).href)));
    const ops = modules.flatMap((m: Record<string, unknown>) => Object.keys(m)).sort();
    expect([...new Set(opCases.map((c) => c.op))].sort()).toEqual(ops);
  });

  test('is what docs/compat.md shows', () => {
    expect(read('docs/compat.md')).toBe(compatMarkdown());
  });
});
