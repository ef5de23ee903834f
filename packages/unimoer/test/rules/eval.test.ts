import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { cli, temporaryFolder } from '../support.js';
import { writeFiles } from './data.js';

const folder = temporaryFolder();
const qrels = 'q1 0 a 1\nq1 0 b 2\nq2 0 c 1\nq3 0 a 1\nq3 0 z -1\n';
const runA = 'q1 Q0 b 1 3 t\nq1 Q0 a 2 2 t\nq2 Q0 x 1 2 t\nq2 Q0 c 2 1 t\nq9 Q0 a 1 1 t\n';
const runB = 'q1 Q0 x 1 3 t\nq1 Q0 a 2 2 t\nq2 Q0 c 1 2 t\nq3 Q0 a 1 1 t\n';
let counter = 0;

/** Writes files into a folder of their own and evaluates there. */
async function evaluate(files: Record<string, string | Uint8Array>, ...more: string[]) {
  counter += 1;
  const cwd = writeFiles(join(folder, String(counter)), { qrels, a: runA, b: runB, ...files });
  return cli(['eval', '--qrels', 'qrels', '--run', 'a', ...more], { cwd });
}

async function json(files: Record<string, string | Uint8Array>, ...more: string[]) {
  const result = await evaluate(files, '--json', ...more);
  expect(result).toMatchObject({ code: 0 });
  return JSON.parse(result.stdout);
}

describe('rule 27: trec_eval 9', () => {
  interface Fixture {
    qrels: Record<string, Record<string, number>>;
    run: Record<string, Record<string, number>>;
    expected: Record<string, Record<string, number>>;
  }
  const path = new URL('../../../../fixtures/trec-eval-ties.json', import.meta.url);
  const fixture = JSON.parse(readFileSync(path, 'utf8')) as Fixture;
  const lines = (table: Fixture['run'], line: (q: string, d: string, v: number) => string) =>
    Object.entries(table)
      .flatMap(([q, values]) => Object.entries(values).map(([d, v]) => line(q, d, v)))
      .join('');

  it('rule 27: files with ties give the values of pytrec_eval', async () => {
    const names = Object.keys(fixture.expected.q0!);
    const result = await json(
      {
        qrels: lines(fixture.qrels, (q, d, v) => `${q} 0 ${d} ${v}\n`),
        a: lines(fixture.run, (q, d, v) => `${q} Q0 ${d} 1 ${v} t\n`),
      },
      '--metrics',
      names.join(','),
      '--per-query',
    );
    for (const [query, values] of Object.entries(fixture.expected)) {
      for (const name of names) expect(result.perQuery[query][name]).toBeCloseTo(values[name]!, 12);
    }
  });

  it('rule 27: the mean is over queries in both files; others are counted on stderr', async () => {
    const { stdout, stderr } = await evaluate({}, '--json', '--metrics', 'mrr');
    expect(JSON.parse(stdout)).toEqual({ metrics: { mrr: 0.75 }, queries: 2 });
    expect(stderr).toContain('1 query without judgements left out');
    expect(stderr).toContain('1 judged query without results, left out');
  });

  it('rule 27: --complete averages over all judged queries', async () => {
    expect(await json({}, '--metrics', 'mrr', '--complete')).toEqual({
      metrics: { mrr: 0.5 },
      queries: 3,
    });
  });

  it('rule 27: float64 comparison is an option', async () => {
    const run = 'q1 Q0 x 1 0.97523 t\nq1 Q0 b 1 0.97522999999999 t\n';
    const metrics = ['--metrics', 'mrr'];
    expect((await json({ a: run.replace('x', '0') }, ...metrics)).metrics.mrr).toBe(1);
    expect(
      (await json({ a: run.replace('x', '0') }, ...metrics, '--score-precision', 'float64')).metrics
        .mrr,
    ).toBe(0.5);
  });
});

it('rule 28: perQuery holds exactly the queries of the mean, keys are lower case', async () => {
  const plain = await json({}, '--metrics', 'NDCG@10,Hit@1,judged@5,RBP', '--per-query');
  expect(Object.keys(plain.perQuery)).toEqual(['q1', 'q2']);
  expect(Object.keys(plain.metrics)).toEqual(['ndcg@10', 'hit@1', 'judged@5', 'rbp']);
  expect(plain.perQuery.q1).toEqual({
    'ndcg@10': 1,
    'hit@1': 1,
    'judged@5': 1,
    rbp: expect.closeTo(0.36, 12),
  });
  expect(plain.perQuery.q2).toMatchObject({ 'hit@1': 0, 'judged@5': 0.5 });
  const complete = await json({}, '--metrics', 'map', '--per-query', '--complete');
  expect(Object.keys(complete.perQuery)).toEqual(['q1', 'q2', 'q3']);
});

describe('rule 29: comparisons', () => {
  it('rule 29: runs in the order given, delta over common queries', async () => {
    const result = await json({}, '--run', 'b', '--metrics', 'mrr,p@1');
    expect(result.runs.map((run: { queries: number }) => run.queries)).toEqual([2, 3]);
    // q1: 1 - 1/2, q2: 1/2 - 1.
    expect(result.comparisons[0]).toMatchObject({
      metric: 'mrr',
      a: 'a',
      b: 'b',
      delta: 0,
      randomization: 1,
    });
    expect(result.comparisons[1].metric).toBe('p@1');
    const three = await json({ c: runB }, '--run', 'b', '--run', 'c', '--metrics', 'mrr');
    expect(three.comparisons.map((c: { a: string; b: string }) => `${c.a}${c.b}`)).toEqual([
      'ab',
      'ac',
      'bc',
    ]);
  });

  it('rule 29: equal runs have p 1, one query has no t test, no NaN is printed', async () => {
    const same = await json({}, '--run', 'a', '--metrics', 'map');
    expect(same.comparisons).toEqual([
      {
        metric: 'map',
        a: 'a',
        b: 'a',
        delta: 0,
        tTest: 1,
        randomization: 1,
        wilcoxon: 1,
        ci95: [0, 0],
      },
    ]);
    const one = await json({ b: 'q1 Q0 x 1 1 t\n' }, '--run', 'b', '--metrics', 'mrr');
    expect(one.comparisons[0]).toMatchObject({
      delta: 1,
      tTest: null,
      ci95: null,
      randomization: 1,
      wilcoxon: 1,
    });
    const text = await evaluate({ b: 'q1 Q0 x 1 1 t\n' }, '--run', 'b');
    expect(text.stdout).not.toContain('NaN');
  });

  it('rule 29: equal differences that are not 0 have t test 0', async () => {
    const b = 'q1 Q0 x 1 3 t\nq2 Q0 x 1 2 t\n';
    const a = 'q1 Q0 b 1 3 t\nq2 Q0 c 1 2 t\n';
    expect((await json({ a, b }, '--run', 'b', '--metrics', 'mrr')).comparisons[0]).toMatchObject({
      delta: 1,
      tTest: 0,
      ci95: [1, 1],
      randomization: 0.5,
    });
  });
});

describe('rule 30: run and qrels files', () => {
  it.each([
    ['a wrong column count', { a: 'q1 Q0 b 1 3\n' }, 'a:1'],
    ['a score that is not a number', { a: 'q1 Q0 b 1 high t\n' }, 'a:1'],
    ['a document twice', { a: 'q1 Q0 b 1 3 t\nq1 Q0 b 2 2 t\n' }, 'a:2'],
    ['an empty run', { a: '' }, 'a: got an empty file'],
    ['invalid UTF-8', { a: Buffer.from('q1 Q0 \xe9 1 3 t\n', 'latin1') }, 'a:1'],
    ['a grade that is not an integer', { qrels: 'q1 0 a 0.5\n' }, 'qrels:1'],
    ['a document judged twice', { qrels: 'q1 0 a 1\nq1 0 a 1\n' }, 'qrels:2'],
    ['an empty qrels file', { qrels: '\n' }, 'qrels: got an empty file'],
  ])('rule 30: %s is exit 2', async (_, files, where) => {
    const { code, stdout, stderr } = await evaluate(files as Record<string, string>, '--json');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toContain(where);
  });

  it('rule 30: BEIR qrels and TREC qrels are told apart by content', async () => {
    const beir = 'query-id\tcorpus-id\tscore\nq1\tb\t2\n';
    expect((await json({ qrels: beir }, '--metrics', 'ndcg@10')).metrics).toEqual({ 'ndcg@10': 1 });
  });

  it('rule 30: the rank column is ignored, CRLF ends lines, NBSP does not part columns', async () => {
    const run = 'q1 Q0 b 99 3 t\r\nq1\tQ0\tb\u00a0c  0 4 t\r\n';
    expect((await json({ a: run }, '--metrics', 'mrr')).metrics.mrr).toBe(0.5);
  });
});

it('rule 6: packed runs and qrels are read, damaged ones refused', async () => {
  const cwd = writeFiles(join(folder, 'gz'), {
    'q.gz': gzipSync(qrels),
    'r.gz': Buffer.concat([gzipSync(runA.slice(0, 16)), gzipSync(runA.slice(16))]),
    'cut.gz': gzipSync(runA).subarray(0, -4),
  });
  expect((await cli(['eval', '--qrels', 'q.gz', '--run', 'r.gz'], { cwd })).code).toBe(0);
  const cut = await cli(['eval', '--qrels', 'q.gz', '--run', 'cut.gz'], { cwd });
  expect(cut.code).toBe(2);
  expect(cut.stderr).toContain('a truncated gzip file');
});

it('rule 7: no common query, and NaN or infinite scores, are exit 2', async () => {
  const none = await evaluate({ a: 'x Q0 a 1 1 t\n' });
  expect([none.code, none.stderr]).toEqual([
    2,
    expect.stringContaining('no query that the qrels hold'),
  ]);
  for (const score of ['nan', 'inf', '-inf', '1e999']) {
    expect((await evaluate({ a: `q1 Q0 a 1 ${score} t\n` })).code).toBe(2);
  }
});

it('rule 1: unknown metrics, missing files and options are exit 2', async () => {
  expect((await evaluate({}, '--metrics', 'ndgc')).stderr).toContain('--metrics: got "ndgc"');
  expect((await evaluate({}, '--run', 'none')).code).toBe(2);
  expect((await cli(['eval', '--qrels', 'x'])).code).toBe(2);
  expect((await evaluate({}, '--score-precision', 'float16')).code).toBe(2);
});
