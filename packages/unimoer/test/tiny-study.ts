import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Philox } from '@unimoer/core';

/** A BERT of two layers with random weights, made by scripts/fixtures. */
export const tinyModel = fileURLToPath(new URL('../../../fixtures/tiny-bert', import.meta.url));

const words = 'bread mill grain oven dough salt sugar lake tree moss bird coat rain road'.split(
  ' ',
);

/** A BEIR folder of 40 documents, 16 training and 8 test queries; a query repeats words of its document. */
export function writeCorpus(folder: string): void {
  const rng = new Philox(7);
  const pick = (n: number) =>
    Array.from({ length: n }, () => words[rng.int(words.length)]!).join(' ');
  const documents = Array.from({ length: 40 }, (_, i) => ({
    _id: `d${i}`,
    title: pick(2),
    text: pick(8),
  }));
  const queries: object[] = [];
  const qrels: Record<string, string[]> = { train: [], test: [] };
  for (let i = 0; i < 24; i++) {
    const split = i < 16 ? 'train' : 'test';
    // The last test queries share their gold document with training queries.
    const gold = documents[i < 20 ? i : i - 20]!;
    queries.push({
      _id: `q${i}`,
      text: `${gold.text.split(' ').slice(0, 3).join(' ')} ${pick(1)}`,
    });
    qrels[split]!.push(`q${i}\t${gold._id}\t1`);
  }
  mkdirSync(join(folder, 'qrels'), { recursive: true });
  const lines = (rows: object[]) => `${rows.map((row) => JSON.stringify(row)).join('\n')}\n`;
  writeFileSync(join(folder, 'corpus.jsonl'), lines(documents));
  writeFileSync(join(folder, 'queries.jsonl'), lines(queries));
  for (const [split, rows] of Object.entries(qrels)) {
    const header = 'query-id\tcorpus-id\tscore\n';
    writeFileSync(join(folder, 'qrels', `${split}.tsv`), `${header}${rows.join('\n')}\n`);
  }
}

/** A study of seconds over that corpus; `change` edits the YAML text. */
export function writeStudy(folder: string, change: (yaml: string) => string = (y) => y): string {
  writeCorpus(join(folder, 'data'));
  const file = join(folder, 'tiny.yaml');
  const yaml = `name: tiny
seeds: [1, 2]
backbones:
  - name: tiny-bert
    model: ${JSON.stringify(tinyModel)}
datasets:
  - name: toy
    path: data
adapter:
  layers: [1]
  rank: 4
arms:
  - zeroShot
  - embedOnly
  - rerankOnly
  - joint
  - jointRankMatched
  - hardSwitch
  - moeLora
training:
  steps: 6
  dtype: f32
  negativeRanks: [0, 8]
  checkpointEvery: 2
  embedding: { queries: 4, negatives: 1, maxLength: 24, temperature: 0.05 }
  reranking: { queries: 3, negatives: 2, maxLength: 32, loss: group }
  optimizer: { lr: 0.01, routerLr: 0.002 }
evaluation:
  embedding: { maxLength: 24, pool: all }
  reranking: { maxLength: 32, top: 6 }
profiles:
  short:
    reason: for tests
    seeds: [1]
    training: { steps: 2 }
`;
  writeFileSync(file, change(yaml));
  return file;
}
