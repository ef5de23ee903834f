import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { cli, temporaryFolder } from '../support.js';
import { fixture, writeBeir } from './data.js';

const cwd = writeBeir(temporaryFolder(), { 'first.trec': 'q1 Q0 d1 1 9 t\n' });
const data = ['--data', '.', '--split', 'test', '--out', 'out'];

it.each([
  ['search --bm25', ['search', '--bm25', ...data]],
  ['search --model', ['search', '--model', fixture('tiny-bert'), ...data]],
  ['rerank', ['rerank', '--run', 'first.trec', '--model', fixture('tiny-bert-cross'), ...data]],
  ['encode', ['encode', '--model', fixture('tiny-bert'), '--in', 'corpus.jsonl', '--out', 'out']],
  ['eval', ['eval', '--qrels', 'qrels/test.tsv', '--run', 'first.trec']],
])('rule 13: a signal stops %s with 130, nothing is written', async (_, argv) => {
  const result = await cli(argv, { cwd, signal: AbortSignal.abort() });
  expect(result).toMatchObject({
    code: 130,
    stdout: '',
    stderr: expect.stringMatching(/interrupted\n$/),
  });
  expect(existsSync(join(cwd, 'out'))).toBe(false);
});
