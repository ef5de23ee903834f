import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beirFile, dropIdenticalIds, loadBeir, rerank } from '@unimoer/eval-beir';
import { describe, expect, it } from 'vitest';
import { failure, folder } from './helpers.js';

const corpus = '{"_id":"d1","title":"One","text":"first"}\n{"_id":"d2","title":"","text":" "}\n';
const queries = '{"_id":"q1","text":"what?"}\n{"_id":"q2","text":"why?"}\n';
const header = 'query-id\tcorpus-id\tscore\n';

function beir(qrels: string, files: Record<string, string | Uint8Array> = {}): string {
  const path = folder({ 'corpus.jsonl': corpus, 'queries.jsonl.gz': gzipSync(queries), ...files });
  mkdirSync(join(path, 'qrels'));
  writeFileSync(join(path, 'qrels', 'test.tsv'), qrels);
  return path;
}

describe('loadBeir', () => {
  it('joins corpus, judged queries and qrels', async () => {
    const { corpus: c, queries: q, qrels } = await loadBeir(beir(`${header}q2\td1\t1\n`), 'test');
    expect(c.ids).toEqual(['d1', 'd2']);
    expect(c.texts).toEqual(['One first', '']);
    expect(c.empty).toBe(1);
    expect(q).toEqual(new Map([['q2', 'why?']]));
    expect(qrels.size).toBe(1);
  });

  it('refuses plain and packed side by side', () => {
    const path = beir(header, { 'corpus.jsonl.gz': gzipSync(corpus) });
    expect(() => beirFile(path, 'corpus.jsonl')).toThrow(
      /both corpus\.jsonl and corpus\.jsonl\.gz/,
    );
  });

  it('refuses unknown documents, counts unknown queries', async () => {
    const error = await failure(loadBeir(beir(`${header}q1\td9\t1\n`), 'test'));
    expect(error.message).toMatch(/test\.tsv:2: got unknown document "d9"/);
    const warnings: string[] = [];
    const path = beir(`${header}q1\td1\t1\nq8\td1\t1\nq9\td1\t1\n`);
    await loadBeir(path, 'test', { onWarning: (message) => warnings.push(message) });
    expect(warnings).toEqual([
      expect.stringContaining('2 unknown queries left out (the first: "q8")'),
    ]);
    expect(await failure(loadBeir(beir(`${header}q8\td1\t1\n`), 'test'))).toMatchObject({
      code: 'INPUT',
    });
  });

  it('refuses an empty query and names the splits that exist', async () => {
    const empty = beir(`${header}q1\td1\t1\n`, {
      'queries.jsonl.gz': gzipSync('{"_id":"q1","text":" "}'),
    });
    expect((await failure(loadBeir(empty, 'test'))).message).toMatch(
      /queries\.jsonl\.gz:1: got empty query "q1"/,
    );
    const error = await failure(loadBeir(beir(header), 'dev'));
    expect(error.expected).toContain('splits here: test');
    expect(await failure(loadBeir('/no/such', 'dev'))).toMatchObject({ got: 'no such folder' });
  });
});

describe('rerank', () => {
  const texts = {
    queries: new Map([['q', 'query']]),
    corpus: {
      ids: ['a', 'b', 'c'],
      texts: ['aaa', 'b', 'cc'],
      index: new Map([
        ['a', 0],
        ['b', 1],
        ['c', 2],
      ]),
      empty: 0,
    },
  };
  const run = new Map([
    [
      'q',
      [
        { id: 'a', score: 1 },
        { id: 'b', score: 3 },
        { id: 'c', score: 2 },
      ],
    ],
    ['other', [{ id: 'a', score: 1 }]],
  ]);
  const byLength = {
    score: (pairs: readonly { document: string }[]) => pairs.map((p) => p.document.length),
  };

  it('orders the head by new scores and drops the rest', async () => {
    const result = await rerank(run, texts, byLength, { top: 2, batchSize: 1 });
    expect([...result]).toEqual([
      [
        'q',
        [
          { id: 'c', score: 2 },
          { id: 'b', score: 1 },
        ],
      ],
    ]);
  });

  it('refuses scores that are not finite, naming the pair', async () => {
    const broken = { score: () => [Number.NaN] };
    const error = await failure(rerank(run, texts, broken, { top: 1 }));
    expect(error.message).toMatch(/query "q", document "b": got score NaN/);
  });

  it('drops identical ids only where asked', () => {
    const same = new Map([
      [
        'a',
        [
          { id: 'a', score: 2 },
          { id: 'b', score: 1 },
        ],
      ],
    ]);
    expect(dropIdenticalIds(same).get('a')).toEqual([{ id: 'b', score: 1 }]);
  });
});
