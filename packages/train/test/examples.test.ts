import { Philox } from '@unimoer/core';
import { describe, expect, it } from 'vitest';
import { collectExamples, TaskSampler, type TrainingData, tokenBatches } from '../src/index';
import { toyData } from './toy';

function dataOf(changes: Partial<TrainingData> = {}): TrainingData {
  const documents = ['Gold text', 'gold  TEXT', 'other', 'another', 'second gold'];
  return {
    corpus: { texts: documents, index: new Map(documents.map((_, i) => [`d${i}`, i])) },
    queries: new Map([
      ['q', 'query'],
      ['lonely', 'no judged document'],
    ]),
    qrels: new Map([
      [
        'q',
        new Map([
          ['d0', 1],
          ['d4', 2],
          ['d2', 0],
          ['gone', 1],
        ]),
      ],
      ['lonely', new Map([['d1', 0]])],
      ['unknown', new Map([['d1', 1]])],
    ]),
    candidates: new Map([['q', ['d0', 'd1', 'd2', 'gone', 'd3', 'd4']]]),
    ...changes,
  };
}

describe('collectExamples', () => {
  it('skips positives, copies of their text and unknown documents', () => {
    const { queries, skipped } = collectExamples(dataOf(), [0, 6]);
    expect(queries).toEqual([
      { id: 'q', text: 'query', positives: ['d0', 'd4'], negatives: ['d2', 'd3'] },
    ]);
    expect(skipped).toEqual({
      withoutText: 1,
      withoutPositive: 1,
      withoutNegative: 0,
      falseNegative: 1,
    });
  });

  it('takes only the given ranks', () => {
    expect(collectExamples(dataOf(), [4, 6]).queries[0]!.negatives).toEqual(['d3']);
    const { skipped, queries } = collectExamples(dataOf(), [0, 1]);
    expect(skipped.withoutNegative).toBe(1);
    expect(queries).toHaveLength(1);
  });

  it('refuses data without a trainable query', () => {
    expect(() => collectExamples(dataOf({ queries: new Map() }), [0, 6])).toThrow(
      /3 judged queries, none with a text/,
    );
  });
});

describe('TaskSampler', () => {
  const data = toyData(10);
  const examples = collectExamples(data, [0, 5]);
  const shape = { queries: 4, negatives: 3 };
  const sampler = () => new TaskSampler(examples, data, 'embedding', 3, shape);

  it('gives batch k whatever was drawn before', () => {
    const first = sampler();
    const inOrder = Array.from({ length: 6 }, (_, k) => first.batch(k));
    const second = sampler();
    for (const k of [5, 0, 3, 1, 4, 2]) expect(second.batch(k)).toEqual(inOrder[k]);
  });

  it('visits every query once an epoch, in a new order each', () => {
    const s = sampler();
    const ids = Array.from({ length: 5 }, (_, k) => s.batch(k).map((draw) => draw.query.id)).flat();
    const [one, two] = [ids.slice(0, 10), ids.slice(10)];
    expect(new Set(one).size).toBe(10);
    expect(new Set(two).size).toBe(10);
    expect(one).not.toEqual(two);
  });

  it('draws distinct negatives and fills up from the corpus', () => {
    const wide = new TaskSampler(examples, data, 'reranking', 3, { queries: 2, negatives: 7 });
    for (const { query, positive, negatives } of wide.batch(0)) {
      expect(query.positives).toContain(positive);
      expect(new Set(negatives).size).toBe(7);
      expect(negatives).not.toContain(positive);
      // Hard negatives come first; there are four of them.
      expect([...negatives.slice(0, 4)].sort()).toEqual([...query.negatives].sort());
    }
  });

  it('differs between seeds and tasks', () => {
    const ids = (task: 'embedding' | 'reranking', seed: number) =>
      new TaskSampler(examples, data, task, seed, shape).batch(0).map((draw) => draw.query.id);
    expect(ids('embedding', 3)).not.toEqual(ids('embedding', 4));
    expect(ids('embedding', 3)).not.toEqual(ids('reranking', 3));
  });

  it('names a corpus that is too small', () => {
    const greedy = new TaskSampler(examples, data, 'embedding', 3, { queries: 1, negatives: 20 });
    expect(() => greedy.batch(0)).toThrow(/20 negatives/);
  });
});

describe('tokenBatches', () => {
  it('sorts by length, keeps to the budget and holds every text once', () => {
    const random = new Philox(9);
    const texts = Array.from({ length: 100 }, () => ({
      ids: new Array<number>(1 + random.int(40)).fill(1),
    }));
    const batches = tokenBatches(texts, 64);
    expect(batches.flat().sort((a, b) => a - b)).toEqual(texts.map((_, i) => i));
    const lengths = batches.map((batch) => batch.map((i) => texts[i]!.ids.length));
    for (const batch of lengths) expect(batch.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(64);
    const flat = lengths.flat();
    expect(flat).toEqual([...flat].sort((a, b) => b - a));
  });

  it('leaves a text beyond the budget alone', () => {
    const texts = [5, 50, 6].map((n) => ({ ids: new Array<number>(n).fill(1) }));
    expect(tokenBatches(texts, 20)).toEqual([[1], [2, 0]]);
  });
});
