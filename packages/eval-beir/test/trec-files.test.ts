import { join } from 'node:path';
import {
  compareUtf8,
  formatQrels,
  formatRun,
  formatScore,
  readQrels,
  readRun,
  trecOrder,
} from '@unimoer/eval-beir';
import { describe, expect, it } from 'vitest';
import { failure, folder } from './helpers.js';

function file(content: string | Uint8Array): string {
  return join(folder({ f: content }), 'f');
}

describe('order', () => {
  it('compares ids as UTF-8 bytes', () => {
    const ids = [
      '',
      'Z',
      'a',
      'ab',
      'é',
      '中',
      '\ue000',
      '\uff5e',
      '\u{10000}',
      '\u{1f600}',
      '\u{1f600}a',
    ];
    for (const a of ids) {
      for (const b of ids) {
        expect(Math.sign(compareUtf8(a, b)), `${a} ${b}`).toBe(
          Buffer.compare(Buffer.from(a), Buffer.from(b)),
        );
      }
    }
    expect('\u{1f600}' < '\uff5e').toBe(true); // what a plain comparison would say
  });

  it('ties scores that are equal as float32, ids descending', () => {
    const documents = [
      { id: 'a', score: 0.975230281005876 },
      { id: 'b', score: 0.9752302840058761 },
      { id: 'c', score: 0.5 },
      { id: 'top', score: 1 },
    ];
    expect(trecOrder(documents).map(({ id }) => id)).toEqual(['top', 'b', 'a', 'c']);
    documents[0]!.score = 0.97523;
    documents[1]!.score = 0.97522999999999;
    expect(trecOrder(documents).map(({ id }) => id)).toEqual(['top', 'b', 'a', 'c']);
    expect(trecOrder(documents, 'float64').map(({ id }) => id)).toEqual(['top', 'a', 'b', 'c']);
  });
});

describe('runs', () => {
  it('survive writing and reading, scores as float32', async () => {
    const scores = [0, -0.1, 1 / 3, 1e-30, 3.4e38, 16777217, 0.1 + 0.2, 1.17549435e-38, 12345.678];
    for (let i = 0; i < 2000; i++) scores.push(Math.sin(i) * 10 ** ((i % 30) - 15));
    for (const score of scores) {
      expect(Math.fround(Number(formatScore(score)))).toBe(Math.fround(score));
      expect(
        formatScore(score)
          .replace(/^-|e.*$|\D/g, '')
          .replace(/^0+|0+$/g, '').length,
      ).toBeLessThanOrEqual(9);
    }
    const run = new Map([
      [
        'q1',
        [
          { id: 'a', score: 0.1 },
          { id: 'b', score: 0.3 },
        ],
      ],
      [
        'q2',
        [
          { id: 'a', score: 2 },
          { id: 'b', score: 2 },
        ],
      ],
    ]);
    const text = [...formatRun(run, 'tag')].join('');
    expect(text).toBe('q1 Q0 b 1 0.3 tag\nq1 Q0 a 2 0.1 tag\nq2 Q0 b 1 2 tag\nq2 Q0 a 2 2 tag\n');
    const back = await readRun(file(text));
    expect(back.get('q1')).toEqual([
      { id: 'b', score: 0.3 },
      { id: 'a', score: 0.1 },
    ]);
  });

  it('refuses to write what is not finite', () => {
    const run = new Map([['q', [{ id: 'a', score: Number.NaN }]]]);
    expect(() => [...formatRun(run, 't')]).toThrow(RangeError);
  });

  it('part columns at spaces and tabs only; ids are not normalised', async () => {
    const run = await readRun(
      file('q\u00a01 \t Q0\te\u0301\t9  -1.5e-3 t\r\n\n q\u00a01 Q0 \u00e9 9 +.5 t'),
    );
    expect(run.get('q\u00a01')).toEqual([
      { id: 'e\u0301', score: -0.0015 },
      { id: '\u00e9', score: 0.5 },
    ]);
  });

  it.each([
    ['5 columns', 'q Q0 d 1 0.5\n'],
    ['7 columns', 'q Q0 d 1 0.5 t x\n'],
    ...['nan', 'inf', '-Infinity', '0x10', '1e999', '1,5', '1_0'].map((s) => [
      `score "${s}"`,
      `q Q0 d 1 ${s} t\n`,
    ]),
    ['document "d" a second time', 'q Q0 d 1 1 t\nq Q0 d 2 1 t\n'],
  ])('refuse %s', async (got, lines) => {
    const error = await failure(readRun(file(`p Q0 d 1 1 t\n${lines}`)));
    expect(error).toMatchObject({ code: 'INPUT', where: expect.stringMatching(/f:[23]$/) });
    expect(error.got).toContain(got);
  });

  it('refuse unknown documents, invalid UTF-8 and empty files', async () => {
    const documents = new Set(['d']);
    const text = 'q Q0 d 1 1 t\nq Q0 e 2 1 t\n';
    const unknown = await failure(readRun(file(text), { documents }));
    expect(unknown.message).toMatch(/f:2: got unknown document "e"/);
    const bytes = Buffer.from('q Q0 \xff 1 1 t\n', 'latin1');
    expect(await failure(readRun(file(bytes)))).toMatchObject({ got: 'bytes that are not UTF-8' });
    expect(await failure(readRun(file('\n')))).toMatchObject({ got: 'an empty file' });
  });
});

describe('qrels', () => {
  it('are told apart by content', async () => {
    const trec = await readQrels(file('q 0 d 2\nq 0 e -1\n'));
    const beir = await readQrels(file('query-id\tcorpus-id\tscore\nq\td\t2\r\nq\te\t-1\n'));
    expect(trec).toEqual(
      new Map([
        [
          'q',
          new Map([
            ['d', 2],
            ['e', -1],
          ]),
        ],
      ]),
    );
    expect(beir).toEqual(trec);
    expect(await readQrels(file([...formatQrels(trec, 'beir')].join('')))).toEqual(trec);
    expect(await readQrels(file([...formatQrels(trec)].join('')))).toEqual(trec);
  });

  it.each([
    ['three columns without a header', 'q d 1\n'],
    ['5 columns', 'q 0 d 1 x\n'],
    ['3 columns', 'q 0 d 1\nq e 1\n'],
    ['grade "1.0"', 'q 0 d 1.0\n'],
    ['grade "x"', 'query-id corpus-id score\nq d x\n'],
    ['document "d" a second time', 'q 0 d 1\nq 0 d 0\n'],
    ['an empty file', ''],
    ['an empty file', 'query-id corpus-id score\n'],
  ])('refuse %s', async (got, text) => {
    const error = await failure(readQrels(file(text)));
    expect(error.code).toBe('INPUT');
    expect(error.got).toContain(got);
  });
});
