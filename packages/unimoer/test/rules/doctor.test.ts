import { expect, it } from 'vitest';
import { cli } from '../support.js';
import { start } from '../process.js';

it('doctor reports processor, memory, backend and versions as JSON', async () => {
  const { code, stdout } = await cli(['doctor', '--json']);
  expect(code).toBe(0);
  const report = JSON.parse(stdout);
  expect(report.versions.node).toBe(process.versions.node);
  expect(report.cpu.availableCores).toBeGreaterThan(0);
  expect(report.memory.totalBytes).toBeGreaterThan(report.memory.availableBytes);
  expect(['native', 'reference']).toContain(report.backend.name);
  if (report.backend.name === 'native') {
    expect(report.backend.availableIsas).toContain(report.backend.isa);
    expect(report.backend.addonPath).toMatch(/unimoer_cpu\.node$/);
  }
});

it('doctor says the same in words', async () => {
  const { stdout } = await cli(['doctor']);
  for (const label of ['unimoer', 'processor', 'memory', 'backend', 'addon', 'compiler', 'gpu']) {
    expect(stdout).toMatch(new RegExp(`^${label} `, 'm'));
  }
});

it('rule 16: without the addon doctor says what is missing and how to get it', async () => {
  const run = start(['doctor', '--json'], { env: { UNIMOER_CPU_ADDON: '/nowhere.node' } });
  const { code, stdout } = await run.ended;
  expect(code).toBe(0);
  const report = JSON.parse(stdout);
  expect(report.backend).toMatchObject({ name: 'reference', addonPath: null });
  expect(report.missing[0]).toMatchObject({
    what: 'native CPU backend',
    remedy: expect.stringContaining('build:native'),
  });
  const refused = await start(['doctor', '--json'], {
    env: { UNIMOER_CPU_ADDON: '/nowhere.node', UNIMOER_BACKEND: 'native' },
  }).ended;
  expect(refused.code).toBe(0);
  expect(JSON.parse(refused.stdout).backend.name).toBe(null);
});
