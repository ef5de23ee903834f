import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { cli, temporaryFolder } from '../support.js';
import { fixture, jsonl, modelVariant, readNpy, root, sentenceFiles, writeBeir } from './data.js';

const folder = temporaryFolder();
let counter = 0;

/** Searches in a BEIR folder of its own. */
async function search(args: string[], files: Record<string, string | Uint8Array> = {}) {
  counter += 1;
  const cwd = writeBeir(join(folder, String(counter)), files);
  const result = await cli(
    ['search', '--data', '.', '--split', 'test', '--out', 'run.trec', ...args],
    { cwd },
  );
  const path = join(cwd, 'run.trec');
  return { ...result, cwd, run: existsSync(path) ? readFileSync(path, 'utf8') : null };
}

const columns = (run: string | null) =>
  (run ?? '')
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' '));
const ids = (run: string | null) => columns(run).map(([q, , d]) => `${q} ${d}`);
const bert = fixture('tiny-bert');

it('writes TREC lines with ranks from 1', async () => {
  const { code, run, stdout } = await search(['--bm25']);
  expect([code, stdout]).toEqual([0, 'run.trec: 2 queries over 4 documents\n']);
  expect(run).toMatch(/^q1 Q0 d1 1 \d\S* bm25\nq1 Q0 d3 2 \d\S* bm25\nq2 Q0 d2 1 \d\S* bm25\n$/);
  expect(columns(run).every(([, , , , score]) => Math.fround(Number(score)) > 0)).toBe(true);
});

it('rule 31: BM25 leaves out documents that share no term; --top bounds the rest', async () => {
  expect(ids((await search(['--bm25'])).run)).toEqual(['q1 d1', 'q1 d3', 'q2 d2']);
  expect(ids((await search(['--bm25', '--top', '1'])).run)).toEqual(['q1 d1', 'q2 d2']);
  const none = await search(['--bm25'], {
    'queries.jsonl': jsonl({ _id: 'q1', text: 'red fox' }, { _id: 'q2', text: 'xylophone' }),
  });
  expect(ids(none.run)).toEqual(['q1 d1', 'q1 d3']);
  expect(none.stderr).toContain('warning: 1 query matched no document');
});

it('rule 31: --drop-identical-ids is off by default and keeps --top documents', async () => {
  const files = {
    'queries.jsonl': jsonl({ _id: 'd1', text: 'red fox' }),
    'qrels/test.tsv': 'query-id\tcorpus-id\tscore\nd1\td3\t1\n',
  };
  expect(ids((await search(['--bm25', '--top', '1'], files)).run)).toEqual(['d1 d1']);
  expect(ids((await search(['--bm25', '--top', '1', '--drop-identical-ids'], files)).run)).toEqual([
    'd1 d3',
  ]);
});

it('rule 26: equal scores are ordered by id as UTF-8 bytes, descending', async () => {
  const names = ['a', 'b', '\uff5e', '\u{1f600}', 'é'];
  const files = {
    'corpus.jsonl': jsonl(...names.map((_id) => ({ _id, text: 'fox' }))),
    'queries.jsonl': jsonl({ _id: 'q', text: 'fox' }),
    'qrels/test.tsv': 'query-id\tcorpus-id\tscore\nq\ta\t1\n',
  };
  const byBytes = [...names].sort((a, b) => Buffer.compare(Buffer.from(b), Buffer.from(a)));
  expect(ids((await search(['--bm25'], files)).run)).toEqual(byBytes.map((id) => `q ${id}`));
  const dense = await search(['--model', bert, '--top', '3'], files);
  expect(ids(dense.run)).toEqual(byBytes.slice(0, 3).map((id) => `q ${id}`));
});

describe('rule 7: unknown names', () => {
  it('rule 7: qrels that name unknown documents are refused with file:line', async () => {
    const { code, stderr } = await search(['--bm25'], {
      'qrels/test.tsv': 'query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td9\t1\n',
    });
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('test.tsv:3: got unknown document "d9"'),
    ]);
  });

  it('rule 7: unknown queries are a counted warning', async () => {
    const { code, stderr, run } = await search(['--bm25'], {
      'qrels/test.tsv': 'query-id\tcorpus-id\tscore\nq1\td1\t1\nq8\td1\t1\nq9\td1\t1\n',
    });
    expect([code, ids(run)]).toEqual([0, ['q1 d1', 'q1 d3']]);
    expect(stderr).toMatch(/warning: .*2 unknown queries/);
  });
});

describe('rules 4 to 6: files', () => {
  it('rule 4: a duplicate _id is refused, with --on-bad-line warn skipped', async () => {
    const corpus = jsonl(
      { _id: 'd1', text: 'fox' },
      { _id: 'd1', text: 'fox' },
      { _id: 'd2', text: '' },
      { _id: 'd3', text: '' },
    );
    const refused = await search(['--bm25'], { 'corpus.jsonl': corpus });
    expect([refused.code, refused.run]).toEqual([2, null]);
    expect(refused.stderr).toContain('corpus.jsonl:2');
    expect(
      (await search(['--bm25', '--on-bad-line', 'warn'], { 'corpus.jsonl': corpus })).code,
    ).toBe(0);
  });

  it('rule 5: an empty query is an error, an empty document a counted warning', async () => {
    const empty = await search(['--bm25'], { 'queries.jsonl': jsonl({ _id: 'q1', text: ' ' }) });
    expect([empty.code, empty.stderr]).toEqual([2, expect.stringContaining('queries.jsonl:1')]);
    const dense = await search(['--model', bert]);
    expect(dense).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('1 document with an empty document'),
    });
    expect(ids(dense.run)).toHaveLength(8);
  });

  it('rule 6: .gz is read; plain and packed side by side are refused', async () => {
    const corpus = jsonl(
      { _id: 'd1', text: 'fox' },
      { _id: 'd2', text: 'x' },
      { _id: 'd3', text: 'y' },
    );
    const both = await search(['--bm25'], { 'corpus.jsonl.gz': gzipSync(corpus) });
    expect([both.code, both.stderr]).toEqual([
      2,
      expect.stringContaining('both corpus.jsonl and corpus.jsonl.gz'),
    ]);
    const qrels = { 'qrels/dev.tsv.gz': gzipSync('query-id\tcorpus-id\tscore\nq2\td2\t1\n') };
    expect(ids((await search(['--bm25', '--split', 'dev'], qrels)).run)).toEqual(['q2 d2']);
  });
});

describe('dense search', () => {
  it('ranks every document by the inner product of the vectors that encode writes', async () => {
    const { cwd, run } = await search(['--model', bert]);
    const vectors = async (name: string) => {
      await cli(['encode', '--model', bert, '--in', `${name}.jsonl`, '--out', `${name}.npy`], {
        cwd,
      });
      return readNpy(join(cwd, `${name}.npy`)).rows;
    };
    const [documents, queries] = [await vectors('corpus'), await vectors('queries')];
    for (const [query, , document, , score] of columns(run)) {
      const a = queries[Number(query!.slice(1)) - 1]!;
      const b = documents[Number(document!.slice(1)) - 1]!;
      const product = a.reduce((sum, x, i) => sum + x * b[i]!, 0);
      expect(Number(score)).toBeCloseTo(product, 5);
    }
    const ofFirst = columns(run)
      .filter(([query]) => query === 'q1')
      .map((line) => Number(line[4]));
    expect(ofFirst).toEqual([...ofFirst].sort((a, b) => b - a));
  });

  it('rule 32: takes the overrides of encode, and uses the prompts of both sides', async () => {
    const plain = (await search(['--model', bert])).run;
    expect((await search(['--model', bert, '--pooling', 'cls'])).run).not.toBe(plain);
    expect((await search(['--model', bert, '--max-length', '5'])).run).not.toBe(plain);
    expect((await search(['--model', bert, '--batch-tokens', '1', '--threads', '1'])).code).toBe(0);
    const prompts = { query: 'find: ', passage: 'text: ' };
    const prompted = modelVariant(
      join(folder, 'prompted'),
      'tiny-bert',
      sentenceFiles({ prompts, maxLength: 64 }),
    );
    expect((await search(['--model', prompted])).run).not.toBe(plain);
  });

  it('a cross encoder is refused', async () => {
    const { code, stderr } = await search(['--model', fixture('tiny-bert-cross')]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('cross encoder')]);
  });
});

describe('usage and outputs', () => {
  it('rule 1: one of --bm25 and --model; good numbers; existing data and split', async () => {
    expect((await search([])).code).toBe(2);
    expect((await search(['--bm25', '--model', bert])).code).toBe(2);
    expect((await search(['--bm25', '--data', 'none'])).code).toBe(2);
    const split = await search(['--bm25', '--split', 'dev']);
    expect([split.code, split.stderr]).toEqual([2, expect.stringContaining('splits here: test')]);
    expect((await search(['--bm25', '--b', '2'])).code).toBe(2);
    expect((await search(['--bm25', '--tag', 'a b'])).code).toBe(2);
  });

  it('rule 10: --top 0 is wrong usage', async () => {
    const { code, stderr } = await search(['--bm25', '--top', '0']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('--top')]);
  });

  it('rule 3: an old run is replaced on success only, by rename', async () => {
    const good = await search(['--bm25'], { 'run.trec': 'old' });
    expect(good.run).not.toBe('old');
    expect(readdirSync(good.cwd).filter((name) => name.startsWith('.'))).toEqual([]);
    const bad = await search(['--bm25', '--split', 'dev'], { 'run.trec': 'old' });
    expect(bad.run).toBe('old');
  });

  it('rule 2: --json prints one document', async () => {
    const { stdout } = await search(['--bm25', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ queries: 2, documents: 4, top: 1000 });
  });
});

it('rule 27: BM25 over the repository’s SciFact reproduces the published figures', async () => {
  const cwd = temporaryFolder();
  const data = join(root, 'datasets/scifact');
  await cli(['search', '--data', data, '--bm25', '--out', 'run.trec'], { cwd });
  const { stdout } = await cli(
    [
      'eval',
      '--qrels',
      join(data, 'qrels/test.tsv.gz'),
      '--run',
      'run.trec',
      '--complete',
      '--json',
    ],
    { cwd },
  );
  const { metrics, queries } = JSON.parse(stdout);
  expect(queries).toBe(300);
  expect(metrics['ndcg@10']).toBeCloseTo(0.6789, 4);
  expect(metrics['recall@100']).toBeCloseTo(0.9253, 4);
});
