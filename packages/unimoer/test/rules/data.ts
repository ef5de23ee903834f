import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Files of a small BEIR folder; values of other names replace or add files. */
export function writeBeir(folder: string, files: Record<string, string | Uint8Array> = {}): string {
  const all: Record<string, string | Uint8Array> = {
    'corpus.jsonl': jsonl(
      { _id: 'd1', title: 'Red fox', text: 'The fox jumps over the dog.' },
      { _id: 'd2', title: '', text: 'A whale swims in the blue sea.' },
      { _id: 'd3', title: 'Hens', text: 'Red hens and a red rooster.' },
      { _id: 'd4', title: '', text: '' },
    ),
    'queries.jsonl': jsonl(
      { _id: 'q1', text: 'red fox' },
      { _id: 'q2', text: 'whales of the sea' },
    ),
    'qrels/test.tsv': 'query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td3\t1\nq2\td2\t1\n',
    ...files,
  };
  return writeFiles(folder, all);
}

export function writeFiles(folder: string, files: Record<string, string | Uint8Array>): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

export function jsonl(...records: unknown[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join('');
}
