import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSafetensors } from '@unimoer/core';
import { describe, expect, it } from 'vitest';
import { cli, temporaryFolder } from '../support.js';
import {
  changeTensor,
  fixture,
  jsonl,
  modelVariant,
  oracle,
  sentenceFiles,
  writeBeir,
  writeFiles,
} from './data.js';

const folder = temporaryFolder();
const cross = fixture('tiny-bert-cross');
const first =
  'q1 Q0 d1 1 9 t\nq1 Q0 d2 2 8 t\nq1 Q0 d3 3 7 t\nq2 Q0 d3 1 5 t\nq2 Q0 d2 2 4 t\nq2 Q0 d4 3 3 t\n';
let counter = 0;

async function rerank(
  args: string[] = [],
  files: Record<string, string | Uint8Array> = {},
  model = cross,
) {
  counter += 1;
  const cwd = writeBeir(join(folder, String(counter)), { 'first.trec': first, ...files });
  const result = await cli(
    [
      'rerank',
      '--data',
      '.',
      '--split',
      'test',
      '--run',
      'first.trec',
      '--model',
      model,
      '--out',
      'out.trec',
      ...args,
    ],
    { cwd },
  );
  const path = join(cwd, 'out.trec');
  const run = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const lines = run
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' '));
  const scores = new Map(lines.map(([q, , d, , score]) => [`${q} ${d}`, Number(score)]));
  return { ...result, cwd, lines, scores };
}

function variant(files: Record<string, unknown>, source: string): string {
  counter += 1;
  return modelVariant(join(folder, `model-${counter}`), source, files);
}

const logit = (p: number) => Math.log(p / (1 - p));

describe('a cross encoder', () => {
  const pairs = oracle<[string, string][]>('tiny-bert-cross', 'pairs');
  const expected = oracle<number[]>('tiny-bert-cross', 'scores');
  const maxLength = oracle<number>('tiny-bert-cross', 'maxLength');
  const data = {
    'corpus.jsonl': jsonl(...pairs.map(([, text], i) => ({ _id: `d${i}`, text }))),
    'queries.jsonl': jsonl(...pairs.map(([text], i) => ({ _id: `q${i}`, text }))),
    'qrels/test.tsv': `query-id\tcorpus-id\tscore\n${pairs.map((_, i) => `q${i}\td${i}\t1\n`).join('')}`,
    'first.trec': pairs.map((_, i) => `q${i} Q0 d${i} 1 1 t\n`).join(''),
  };

  it('rule 23: scores are the sigmoid of sentence-transformers’ logits; --raw keeps them', async () => {
    const { code, scores, stderr } = await rerank(['--max-length', String(maxLength)], data);
    expect(code).toBe(0);
    expected.forEach((score, i) => {
      expect(scores.get(`q${i} d${i}`)).toBeCloseTo(score, 5);
    });
    expect(stderr).toContain('longer than the limit and cut');
    const raw = await rerank(['--max-length', String(maxLength), '--raw'], data);
    expected.forEach((score, i) => {
      expect(raw.scores.get(`q${i} d${i}`)).toBeCloseTo(logit(score), 4);
    });
  });

  it('rule 20: --max-length applies', async () => {
    expect((await rerank([], data)).scores).not.toEqual(
      (await rerank(['--max-length', '16'], data)).scores,
    );
  });
});

describe('rule 23: candidates', () => {
  it('rule 23: documents below --top are dropped, the rest ordered anew with ranks from 1', async () => {
    const { lines, stdout } = await rerank(['--top', '2']);
    expect(lines.map(([q, , d]) => `${q} ${d}`).sort()).toEqual([
      'q1 d1',
      'q1 d2',
      'q2 d2',
      'q2 d3',
    ]);
    for (const query of ['q1', 'q2']) {
      const own = lines.filter(([q]) => q === query);
      expect(own.map(([, , , rank]) => rank)).toEqual(['1', '2']);
      expect(Number(own[0]![4])).toBeGreaterThanOrEqual(Number(own[1]![4]));
    }
    expect(stdout).toBe('out.trec: 4 pairs of 2 queries\n');
  });

  it('rule 26: the first stage is cut in trec_eval’s order, whatever its ranks and line order', async () => {
    const run = 'q1 Q0 d1 1 5 t\nq1 Q0 d3 9 5.0000000001 t\nq1 Q0 d2 2 1 t\n';
    const { lines } = await rerank(['--top', '1'], { 'first.trec': run });
    expect(lines.map(([, , d]) => d)).toEqual(['d3']);
  });

  it('rule 23: the document is title and text joined and trimmed', async () => {
    const corpus = (documents: object[]) => ({ 'corpus.jsonl': jsonl(...documents) });
    const rest = ['d2', 'd3', 'd4'].map((_id) => ({ _id, text: 'x' }));
    const split = await rerank(
      [],
      corpus([{ _id: 'd1', title: 'the mill', text: 'grinds' }, ...rest]),
    );
    const joined = await rerank([], corpus([{ _id: 'd1', text: 'the mill grinds ' }, ...rest]));
    expect(split.scores).toEqual(joined.scores);
  });
});

describe('what cannot rerank', () => {
  it('rule 23: an encoder without a head is refused, saying how to train one', async () => {
    const { code, stderr } = await rerank([], {}, fixture('tiny-bert'));
    expect([code, stderr]).toEqual([2, expect.stringContaining('unimoer train')]);
  });

  it('rule 23: a folder with a Pooling module is refused', async () => {
    const pooled = variant(sentenceFiles({}), 'tiny-bert-cross');
    const { code, stderr } = await rerank([], {}, pooled);
    expect([code, stderr]).toEqual([2, expect.stringContaining('Pooling')]);
  });

  it('--mode listwise is refused', async () => {
    expect((await rerank(['--mode', 'listwise'])).code).toBe(2);
    expect((await rerank(['--mode', 'pairwise'])).code).toBe(2);
  });
});

it('rule 23: Qwen3 reads yes and no; the instruction matters', async () => {
  const model = fixture('tiny-qwen3');
  const plain = await rerank([], {}, model);
  expect(plain.code).toBe(0);
  for (const score of plain.scores.values()) expect(score > 0 && score < 1).toBe(true);
  const raw = await rerank(['--raw'], {}, model);
  for (const [pair, score] of raw.scores)
    expect(plain.scores.get(pair)).toBeCloseTo(1 / (1 + Math.exp(-score)), 6);
  const told = await rerank(['--instruction', 'Find mills'], {}, model);
  expect(told.scores).not.toEqual(plain.scores);
});

it('an adapter folder with a trained head makes an encoder rerank', async () => {
  const dir = writeFiles(join(folder, 'head'), {});
  const values = (shape: number[], value: (i: number) => number) => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
    dtype: 'F32' as const,
  });
  const head = (cosine: number) => {
    writeFiles(dir, { keep: '' });
    writeSafetensors(join(dir, 'rerank_head.safetensors'), {
      'head.weight': values([1, 64], (i) => Math.sin(i)),
      'head.bias': values([1], () => 0.25),
      'head.cosine': values([1], () => cosine),
    });
  };
  head(0);
  const linear = await rerank(['--adapter', dir, '--raw'], {}, fixture('tiny-bert'));
  expect(linear).toMatchObject({ code: 0 });
  head(1);
  const both = await rerank(['--adapter', dir, '--raw'], {}, fixture('tiny-bert'));
  for (const [pair, score] of both.scores) {
    const cosine = score - linear.scores.get(pair)!;
    expect(Math.abs(cosine)).toBeLessThanOrEqual(1.0001);
  }
  expect(both.scores).not.toEqual(linear.scores);
});

describe('rule 7: unknown names', () => {
  it('rule 7: runs that name unknown documents are refused with file:line', async () => {
    const { code, stderr } = await rerank([], { 'first.trec': `${first}q1 Q0 d9 4 1 t\n` });
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('first.trec:7: got unknown document "d9"'),
    ]);
    const qrels = { 'qrels/test.tsv': 'query-id\tcorpus-id\tscore\nq1\td9\t1\n' };
    expect((await rerank([], qrels)).stderr).toContain('test.tsv:2');
  });

  it('rule 7: unknown queries are a counted warning', async () => {
    const { code, stderr, lines } = await rerank([], { 'first.trec': `${first}q9 Q0 d1 1 1 t\n` });
    expect([code, lines.length]).toEqual([0, 6]);
    expect(stderr).toMatch(/warning: .*1 unknown query/);
  });
});

it('rule 5: an empty document is scored, with one counted warning', async () => {
  const { code, stderr, scores } = await rerank();
  expect([code, scores.has('q2 d4')]).toEqual([0, true]);
  expect(stderr).toContain('1 pair with an empty document');
});

it('rule 9: a score that is not finite names the first pair', async () => {
  const broken = variant({}, 'tiny-bert-cross');
  changeTensor(broken, 'bert.encoder.layer.1.output.dense.weight', (values) => {
    values.fill(3e38);
  });
  const { code, stderr } = await rerank([], {}, broken);
  expect([code, stderr]).toEqual([2, expect.stringContaining('query "q1", document "d1"')]);
});

it('rule 10: --top 0 is wrong usage', async () => {
  expect((await rerank(['--top', '0'])).code).toBe(2);
});

it('rule 2: --json prints one document', async () => {
  expect(JSON.parse((await rerank(['--json'])).stdout)).toMatchObject({ queries: 2, pairs: 6 });
});
