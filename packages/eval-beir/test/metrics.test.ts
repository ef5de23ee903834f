import { evaluate, parseMetrics, type Qrels, type Run } from '@unimoer/eval-beir';
import { describe, expect, it } from 'vitest';
import { fixture } from './helpers.js';

interface Fixture {
  qrels: Record<string, Record<string, number>>;
  run: Record<string, Record<string, number>>;
  expected: Record<string, Record<string, number>>;
}

function toQrels(from: Record<string, Record<string, number>>): Qrels {
  return new Map(Object.entries(from).map(([q, d]) => [q, new Map(Object.entries(d))]));
}

function toRun(from: Record<string, Record<string, number>>): Run {
  return new Map(
    Object.entries(from).map(([q, d]) => [
      q,
      Object.entries(d).map(([id, score]) => ({ id, score })),
    ]),
  );
}

describe('against pytrec_eval', () => {
  const { qrels, run, expected } = fixture<Fixture>('trec-eval-ties.json');
  const metrics = Object.keys(expected.q0!);
  const result = evaluate(toQrels(qrels), toRun(run), { metrics });

  it('averages over the same queries', () => {
    expect([...result.perQuery.keys()].sort()).toEqual(Object.keys(expected).sort());
    expect(result).toMatchObject({ queries: 40, onlyInRun: 1, onlyInQrels: 1 });
  });

  it.each(metrics)('%s of every query', (metric) => {
    for (const [query, values] of Object.entries(expected)) {
      expect(result.perQuery.get(query)![metric], query).toBeCloseTo(values[metric]!, 12);
    }
  });

  it('differs where scores are compared in float64', () => {
    const double = evaluate(toQrels(qrels), toRun(run), { metrics, precision: 'float64' });
    expect(double.metrics).not.toEqual(result.metrics);
  });
});

describe('closed forms', () => {
  const qrels = toQrels({ q: { a: 1, b: 0, c: 2, d: -1, e: 1 }, lost: { a: 1 } });
  const run = toRun({ q: { x: 5, a: 4, b: 3, d: 2, c: 1 } });

  it('mrr@k, judged@k, hit@k and rbp', () => {
    const { metrics } = evaluate(qrels, run, {
      metrics: ['MRR@1', 'mrr@2', 'judged@2', 'judged@100', 'hit@1', 'hit@2', 'rbp'],
    });
    expect(metrics).toEqual({
      'mrr@1': 0,
      'mrr@2': 0.5,
      'judged@2': 0.5,
      'judged@100': 0.8,
      'hit@1': 0,
      'hit@2': 1,
      rbp: expect.closeTo(0.2 * (0.8 + 0.8 ** 4), 14),
    });
  });

  it('bpref leaves negative grades out', () => {
    // Relevant: a, c, e (R = 3), non-relevant: b. a is above b, c is below it, e is not retrieved.
    const { metrics } = evaluate(qrels, run, { metrics: ['bpref'] });
    expect(metrics.bpref).toBeCloseTo((1 + (1 - 1 / 1)) / 3, 14);
  });

  it('complete means count a missing query as 0', () => {
    const plain = evaluate(qrels, run, { metrics: ['mrr'] });
    const complete = evaluate(qrels, run, { metrics: ['mrr'], complete: true });
    expect([plain.queries, plain.metrics.mrr]).toEqual([1, 0.5]);
    expect([complete.queries, complete.metrics.mrr]).toEqual([2, 0.25]);
    expect(complete.perQuery.get('lost')).toEqual({ mrr: 0 });
  });
});

describe('refusals', () => {
  it.each(['ndcg@0', 'p', 'rprec@5', 'ndgc@10', 'ndcg@1.5', '', 'constructor'])(
    'metric %j',
    (name) => {
      expect(() => parseMetrics([name])).toThrow(expect.objectContaining({ code: 'INPUT' }));
    },
  );

  it('no common query, and scores that are not finite', () => {
    const qrels = toQrels({ q: { a: 1 } });
    expect(() => evaluate(qrels, toRun({ p: { a: 1 } }))).toThrow(/no query that the qrels hold/);
    expect(() => evaluate(qrels, toRun({ q: { a: Number.NaN } }))).toThrow(/score NaN/);
  });
});
