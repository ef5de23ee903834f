import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { alive, childrenOf, start, within } from './process.js';
import { cli, temporaryFolder } from './support.js';
import { writeStudy } from './tiny-study.js';

const folder = temporaryFolder();
let count = 0;
function study(change?: (yaml: string) => string): string {
  const own = join(folder, String(count++));
  mkdirSync(own);
  return writeStudy(own, change);
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What may differ between two runs of the same study. */
const volatile = new Set(['seconds', 'timing', 'environment', 'createdAt']);

function stable(value: Json): Json {
  if (Array.isArray(value)) return value.map(stable);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !volatile.has(key))
      .map(([key, item]) => [key, stable(item)]),
  );
}

const reportOf = (dir: string): { [key: string]: Json } =>
  JSON.parse(readFileSync(join(dir, 'report/report.json'), 'utf8'));
const stableReport = (dir: string): string => JSON.stringify(stable(reportOf(dir)));

const file = study();
const reference = join(folder, 'reference');
let ran: Awaited<ReturnType<typeof cli>>;

describe('a study from start to end', () => {
  beforeAll(async () => {
    ran = await cli(['study', 'run', file, '--out', reference, '--quiet']);
  });

  it('rule 11: exits 0 and the last line names the report folder', () => {
    expect(ran.stderr).toBe('');
    expect(ran.code).toBe(0);
    expect(ran.stdout.trimEnd().split('\n').at(-1)).toBe(`report: ${join(reference, 'report')}`);
    expect(existsSync(join(reference, 'report/index.html'))).toBe(true);
  });

  it('rule 14: one row per arm, seed and dataset; no path or host fact outside environment', () => {
    const report = reportOf(reference);
    const arms = report.arms as { [key: string]: Json }[];
    expect(arms.map((row) => `${row.arm}/${row.seed}`)).toEqual([
      'zeroShot/null',
      ...['embedOnly', 'rerankOnly', 'joint', 'jointRankMatched', 'hardSwitch', 'moeLora'].flatMap(
        (arm) => [`${arm}/1`, `${arm}/2`],
      ),
    ]);
    const row = (arm: string) => arms.find((candidate) => candidate.arm === arm)!;
    expect(row('embedOnly').reranking).toEqual({});
    expect(row('rerankOnly').embedding).toEqual({});
    expect(row('zeroShot').reranking).toEqual({});
    expect(Object.keys(row('joint').embedding as object)).toEqual(
      expect.arrayContaining(['ndcg@10', 'map', 'recall@100', 'mrr@10']),
    );
    const verdicts = report.verdicts as { [key: string]: Json }[];
    expect(verdicts.map((v) => v.endpoint)).toEqual(['embedding', 'reranking']);
    for (const verdict of verdicts) {
      expect([
        'confirmed',
        'significant',
        'negligible',
        'small',
        'noInterference',
        'synergy',
        'inconclusive',
      ]).toContain(verdict.verdict);
      expect(verdict.exploratory).toBe(true);
    }
    const { environment: _, ...rest } = report;
    expect(JSON.stringify(rest)).not.toContain(folder);
    expect(JSON.stringify(rest)).not.toContain(process.cwd());
  });

  it('rule 12: run refuses a folder with state and names resume', async () => {
    const again = await cli(['study', 'run', file, '--out', reference]);
    expect(again).toMatchObject({ code: 2, stdout: '' });
    expect(again.stderr).toContain('study resume');
  });

  it('rule 12: resume of a finished study does no work; of a folder without state it is refused', async () => {
    const before = statSync(join(reference, 'report/report.json')).mtimeMs;
    const resumed = await cli(['study', 'resume', reference]);
    expect(resumed.code).toBe(0);
    expect(statSync(join(reference, 'report/report.json')).mtimeMs).toBe(before);
    expect((await cli(['study', 'resume', folder])).code).toBe(2);
    expect((await cli(['study', 'report', folder])).code).toBe(2);
  });

  it('writes the same report again from the cells', async () => {
    const before = stableReport(reference);
    expect((await cli(['study', 'report', reference])).code).toBe(0);
    expect(stableReport(reference)).toBe(before);
  });

  it('gives the same report with two workers', async () => {
    const dir = join(folder, 'two-workers');
    const result = await cli(['study', 'run', file, '--out', dir, '--jobs', '2', '--json']);
    expect(result.code).toBe(0);
    expect(JSON.parse(result.stdout)).toEqual({ report: join(dir, 'report'), missing: 0 });
    expect(stableReport(dir)).toBe(stableReport(reference));
  });

  it('a composed hard switch equals one that is trained', async () => {
    const alone = study((yaml) =>
      yaml.replace('  - embedOnly\n  - rerankOnly\n  - joint\n  - jointRankMatched\n', ''),
    );
    const dir = join(folder, 'trained-switch');
    expect((await cli(['study', 'run', alone, '--out', dir, '--quiet'])).code).toBe(0);
    const rows = (from: string) =>
      (reportOf(from).arms as { [key: string]: Json }[])
        .filter((row) => row.arm === 'hardSwitch')
        .map(({ seed, embedding, reranking }) => ({ seed, embedding, reranking }));
    expect(rows(dir)).toHaveLength(2);
    expect(rows(dir)).toEqual(rows(reference));
  });
});

/** More steps, so that there is time to interrupt. */
const slow = (yaml: string) =>
  yaml.replace('steps: 6', 'steps: 40').replace('seeds: [1, 2]', 'seeds: [1]');

describe('interruptions', () => {
  const slowFile = study(slow);
  const undisturbed = join(folder, 'undisturbed');
  beforeAll(async () => {
    const { code } = await cli(['study', 'run', slowFile, '--out', undisturbed, '--quiet']);
    expect(code).toBe(0);
  });

  it('every loss falls', () => {
    const cells = readdirSync(join(undisturbed, 'cells')).map((name) => {
      const path = join(undisturbed, 'cells', name, 'result.json');
      return JSON.parse(readFileSync(path, 'utf8')).result as {
        arm: string;
        losses: Record<string, { loss: number }[]>;
      };
    });
    for (const { arm, losses } of cells) {
      for (const [task, curve] of Object.entries(losses)) {
        const half = curve.length / 2;
        const mean = (part: { loss: number }[]) =>
          part.reduce((sum, { loss }) => sum + loss, 0) / part.length;
        expect(mean(curve.slice(half)), `${arm} ${task}`).toBeLessThan(mean(curve.slice(0, half)));
      }
    }
  });

  it('kill -9 at any moment and resume give the same report, byte for byte', async () => {
    const dir = join(folder, 'killed');
    const first = start(['study', 'run', slowFile, '--out', dir]);
    await first.said(/1\/6 zeroShot/);
    // Wait for a checkpoint inside a cell, then end the runner as the kernel would.
    const inCell = () =>
      existsSync(join(dir, 'cells')) &&
      readdirSync(join(dir, 'cells')).some((name) => {
        const checkpoints = join(dir, 'cells', name, 'train/checkpoints');
        return !existsSync(join(dir, 'cells', name, 'result.json')) && existsSync(checkpoints);
      });
    expect(await within(20_000, inCell)).toBe(true);
    const workers = await childrenOf(first.child.pid!);
    first.child.kill('SIGKILL');
    await first.ended;
    expect(workers.length).toBeGreaterThan(0);
    // rule 13: workers end within 5 s when their parent is killed.
    expect(await within(5_000, () => !workers.some(alive))).toBe(true);

    expect((await cli(['study', 'run', slowFile, '--out', dir])).code).toBe(2);
    const finished = new Map(
      readdirSync(join(dir, 'cells'))
        .map((name) => join(dir, 'cells', name, 'result.json'))
        .filter((path) => existsSync(path))
        .map((path) => [path, statSync(path).mtimeMs]),
    );
    const resumed = await cli(['study', 'resume', dir, '--quiet']);
    expect(resumed).toMatchObject({ code: 0, stderr: '' });
    expect(stableReport(dir)).toBe(stableReport(undisturbed));
    // rule 12: finished cells are not computed again.
    expect(finished.size).toBeGreaterThan(0);
    for (const [path, time] of finished) expect(statSync(path).mtimeMs).toBe(time);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'rule 13: %s ends with 130, keeps the state and says how to resume',
    async (signal) => {
      const dir = join(folder, signal);
      const run = start(['study', 'run', slowFile, '--out', dir]);
      await run.said(/1\/6 zeroShot/);
      run.child.kill(signal);
      const begin = Date.now();
      const { code, stderr, stdout } = await run.ended;
      expect(Date.now() - begin).toBeLessThan(10_000);
      expect(code).toBe(130);
      expect(stdout).toBe('');
      expect(stderr).toContain(`go on with: unimoer study resume ${dir}`);
      expect((await cli(['study', 'resume', dir, '--quiet'])).code).toBe(0);
      expect(stableReport(dir)).toBe(stableReport(undisturbed));
    },
  );

  it('rule 12: a live process holds the lock, a dead one does not', async () => {
    const dir = join(folder, 'locked');
    const run = start(['study', 'run', slowFile, '--out', dir]);
    await run.said(/1\/6 zeroShot/);
    const second = await cli(['study', 'resume', dir]);
    expect(second.code).toBe(2);
    expect(second.stderr).toMatch(new RegExp(`process ${run.child.pid} on .* is running`));
    run.child.kill('SIGKILL');
    await run.ended;
    expect(existsSync(join(dir, 'lock'))).toBe(true);
    expect((await cli(['study', 'resume', dir, '--quiet'])).code).toBe(0);
    expect(existsSync(join(dir, 'lock'))).toBe(false);
  });

  it('rule 1: a cell that fails is exit 1, and what had finished is kept', async () => {
    const dir = join(folder, 'failing');
    const run = start(['study', 'run', slowFile, '--out', dir]);
    await run.said(/1\/6 zeroShot/);
    run.child.kill('SIGTERM');
    await run.ended;
    // A file where the trainer wants a folder: nothing can be written there.
    const open = readdirSync(join(dir, 'cells')).find(
      (name) => !existsSync(join(dir, 'cells', name, 'result.json')),
    );
    const state = JSON.parse(readFileSync(join(dir, 'state.json'), 'utf8'));
    const cell = state.cells.at(-1);
    const blocked = `toy-tiny-bert-${cell.arm}-s1-${cell.key.slice(0, 12)}`;
    expect(open).not.toBe(blocked);
    writeFileSync(join(dir, 'cells', blocked), '');
    const resumed = await cli(['study', 'resume', dir, '--quiet']);
    expect(resumed.code).toBe(1);
    expect(resumed.stderr).toMatch(/^error: cell moeLora, seed 1: .*\n$/);
    expect(readdirSync(join(dir, 'cells')).length).toBeGreaterThan(4);
  });
});
