import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const setup = new URL('../lib/setup.mjs', import.meta.url);

describe('set-up', () => {
  it('rule 16: without a compiler there is one line that says what to do, and work goes on', () => {
    const code = `const { buildNative } = await import(${JSON.stringify(setup.href)}); console.log(await buildNative());`;
    const result = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      encoding: 'utf8',
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      env: { ...process.env, CXX: '/nowhere/c++' },
    });
    expect(result.status).toBe(0);
    expect(result.stdout).toBe('noCompiler\n');
    expect(result.stderr).toMatch(/^[^\n]*compiler[^\n]*\n$/);
  });
});
