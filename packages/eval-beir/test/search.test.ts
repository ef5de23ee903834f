import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  analyzeEnglish,
  Bm25,
  evaluate,
  loadBeir,
  loadCorpus,
  luceneLength,
  retrieve,
  searchDense,
  tokenize,
  trecOrder,
} from '@unimoer/eval-beir';
import { describe, expect, it } from 'vitest';
import { root } from './helpers.js';

describe('analysis', () => {
  it('splits words as UAX #29 does', () => {
    expect(
      tokenize("can't U.S.A. 3.5 1,000 x.5 a-b foo_bar e.g. 'quoted' C++ 10kg O\u2019Neil"),
    ).toEqual([
      "can't",
      'U.S.A',
      '3.5',
      '1,000',
      'x',
      '5',
      'a',
      'b',
      'foo_bar',
      'e.g',
      'quoted',
      'C',
      '10kg',
      'O\u2019Neil',
    ]);
    expect(tokenize('日本語 ひら カタカナ aカ naïve e\u0301a')).toEqual([
      '日',
      '本',
      '語',
      'ひ',
      'ら',
      'カタカナ',
      'a',
      'カ',
      'naïve',
      'e\u0301a',
    ]);
    expect(tokenize(`${'x'.repeat(300)} _ -- `).map((t) => t.length)).toEqual([255, 45]);
  });

  it('gives the words of Intl.Segmenter, an implementation of UAX #29, on real text', async () => {
    const segmenter = new Intl.Segmenter('en', { granularity: 'word' });
    const { texts } = await loadCorpus(join(root, 'datasets/scifact'));
    for (const text of texts.slice(0, 300)) {
      const segments = [...segmenter.segment(text)].filter(({ isWordLike }) => isWordLike);
      expect(tokenize(text)).toEqual(segments.map(({ segment }) => segment));
    }
  });

  it.each(['a', '_', '\u0301', 'a.', '_a', 'カ'])('survives a line of millions of %j', (piece) => {
    const words = tokenize(piece.repeat(4_000_000 / piece.length));
    expect(words.every((word) => word.length <= 255)).toBe(true);
  });

  it('removes possessives and stop words, lowers and stems', () => {
    expect(analyzeEnglish("The Dog's running to IT and the relational ponies'")).toEqual([
      'dog',
      'run',
      'relat',
      'poni',
    ]);
  });

  it('rounds lengths as Lucene does: exact to 39, then four significant bits', () => {
    for (let n = 0; n < 40; n++) expect(luceneLength(n)).toBe(n);
    expect([40, 41, 42, 55, 56, 57, 60, 100, 1000, 100000].map(luceneLength)).toEqual([
      40, 40, 42, 54, 56, 56, 60, 96, 984, 98328,
    ]);
  });
});

describe('BM25', () => {
  it('equals the formula on a small collection', () => {
    const texts = ['red fox', 'red red hen jumps', 'blue whale', ''];
    const bm25 = new Bm25(['a', 'b', 'c', 'd'], texts);
    // N = 3 documents with terms, average length 8 / 3; "red" is in 2 of them.
    const idf = Math.log(1 + 1.5 / 2.5);
    const score = (tf: number, n: number) => (idf * tf) / (tf + 0.9 * (0.6 + (0.4 * n) / (8 / 3)));
    expect(bm25.search('red', 10)).toEqual([
      { id: 'b', score: Math.fround(score(2, 4)) },
      { id: 'a', score: Math.fround(score(1, 2)) },
    ]);
    expect(bm25.search('Red red', 1)[0]!.score).toBeCloseTo(2 * score(2, 4), 6);
    expect(bm25.search('nothing', 10)).toEqual([]);
    expect(bm25.search('the', 10)).toEqual([]);
  });

  it('SciFact, published: nDCG@10 .6789, recall@100 .9253, recall@1000 .9767', async () => {
    const { corpus, queries, qrels } = await loadBeir(join(root, 'datasets/scifact'), 'test');
    expect([corpus.ids.length, queries.size]).toEqual([5183, 300]);
    const run = new Bm25(corpus.ids, corpus.texts).searchAll(queries, 1000);
    const metrics = ['ndcg@10', 'recall@100', 'recall@1000'];
    const result = evaluate(qrels, run, { metrics, complete: true }).metrics;
    expect(result['ndcg@10']).toBeCloseTo(0.6789, 4);
    expect(result['recall@100']).toBeCloseTo(0.9253, 4);
    expect(result['recall@1000']).toBeCloseTo(0.9767, 4);
  });

  const nfcorpus = join(root, '../shared/data/nfcorpus');
  it.skipIf(!existsSync(nfcorpus))(
    'NFCorpus, published: .3218 with ties by ascending id',
    async () => {
      const { corpus, queries, qrels } = await loadBeir(nfcorpus, 'test');
      const run = new Bm25(corpus.ids, corpus.texts).searchAll(queries, 1000);
      const ndcg = (r: typeof run) =>
        evaluate(qrels, r, { metrics: ['ndcg@10'], complete: true }).metrics['ndcg@10'];
      expect(run.size).toBe(308);
      expect(ndcg(run)).toBeCloseTo(0.3205, 3);
      const ascending = new Map(
        [...run].map(([q, documents]) => [
          q,
          [...documents]
            .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
            .map(({ id }, i) => ({ id, score: -i })),
        ]),
      );
      expect(ndcg(ascending)).toBeCloseTo(0.3218, 4);
    },
  );
});

describe('dense search', () => {
  const dim = 5;
  const ids = Array.from({ length: 57 }, (_, i) => `d${i}`);
  // Small integers make many exact ties.
  const vectors = Float32Array.from({ length: ids.length * dim }, (_, i) => ((i * 7919) % 5) - 2);
  const queries = {
    ids: ['q', 'r'],
    vectors: Float32Array.from({ length: 2 * dim }, (_, i) => (i % 3) - 1),
  };

  it('equals sorting all scores, whatever the block size', () => {
    for (const blockSize of [1, 3, 16, 100]) {
      for (const top of [1, 10, 57, 1000]) {
        const run = searchDense(queries, { ids, vectors }, { dim, top, blockSize });
        queries.ids.forEach((query, q) => {
          const all = ids.map((id, d) => {
            let score = 0;
            for (let i = 0; i < dim; i++)
              score += queries.vectors[q * dim + i]! * vectors[d * dim + i]!;
            return { id, score };
          });
          expect(run.get(query)).toEqual(trecOrder(all).slice(0, top));
        });
      }
    }
  });

  it('retrieve gives the same with any encoder and block size', async () => {
    const table = new Map(
      [...queries.ids.entries()].map(([i, id]) => [id, [queries.vectors, i] as const]),
    );
    ids.forEach((id, i) => {
      table.set(id, [vectors, i]);
    });
    const roles: string[] = [];
    const encoder = {
      dim,
      encode(texts: readonly string[], about: { role: string; ids: readonly string[] }) {
        roles.push(about.role);
        const rows = about.ids.map((id) => {
          const [from, row] = table.get(id)!;
          return [...from.subarray(row * dim, (row + 1) * dim)];
        });
        expect(texts).toEqual(about.ids.map((id) => `text of ${id}`));
        return Float32Array.from(rows.flat());
      },
    };
    const text = (id: string) => `text of ${id}`;
    const collection = {
      queries: new Map(queries.ids.map((id) => [id, text(id)])),
      corpus: { ids, texts: ids.map(text), index: new Map(), empty: 0 },
    };
    const run = await retrieve(encoder, collection, { top: 7, blockSize: 20 });
    expect(run).toEqual(searchDense(queries, { ids, vectors }, { dim, top: 7 }));
    expect(roles).toEqual(['query', 'document', 'document', 'document']);
  });

  it('refuses scores that are not finite and sizes that do not fit', () => {
    const broken = vectors.slice();
    broken[3 * dim] = Number.NaN;
    expect(() => searchDense(queries, { ids, vectors: broken }, { dim, top: 5 })).toThrow(
      /query "q", document "d3": got score NaN/,
    );
    expect(() => searchDense(queries, { ids, vectors }, { dim: 4, top: 5 })).toThrow(RangeError);
  });
});
