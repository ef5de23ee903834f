import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { InputError } from '../errors.js';
import { documentText, type JsonlOptions, readTexts } from '../io/jsonl.js';
import { type Qrels, readQrels } from '../trec/qrels.js';

/** A collection in memory. `texts[i]` is title and text of document `ids[i]`, joined as BEIR does it. */
export interface Corpus {
  ids: string[];
  texts: string[];
  /** Position of each id. */
  index: Map<string, number>;
  /** Documents whose title and text are empty. */
  empty: number;
}

/** Query texts by id, in file order. */
export type Queries = Map<string, string>;

/** One split of a BEIR folder. `queries` holds the judged queries only, in the order of the qrels. */
export interface BeirSplit {
  corpus: Corpus;
  queries: Queries;
  qrels: Qrels;
}

/**
 * Path of a file of a BEIR folder, plain or `.gz`.
 * Throws {@link InputError} where neither or both exist.
 */
export function beirFile(folder: string, name: string): string {
  const plain = join(folder, name);
  const packed = `${plain}.gz`;
  const both = [plain, packed].filter((path) => existsSync(path));
  if (both.length === 2) {
    throw new InputError({
      where: folder,
      got: `both ${name} and ${name}.gz`,
      expected: 'one of them',
      remedy: 'delete the one that is out of date',
    });
  }
  const found = both[0];
  if (found !== undefined) return found;
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new InputError({
      where: folder,
      got: existsSync(folder) ? 'a file' : 'no such folder',
      expected: 'a BEIR folder with corpus.jsonl, queries.jsonl and qrels/',
      remedy: 'check the path',
    });
  }
  throw new InputError({
    where: plain,
    got: 'no such file',
    expected: `${name} or ${name}.gz${siblings(plain)}`,
    remedy: 'check the folder and the name of the split',
  });
}

function siblings(path: string): string {
  if (!path.endsWith('.tsv') || !existsSync(dirname(path))) return '';
  const names = readdirSync(dirname(path))
    .filter((name) => /\.tsv(\.gz)?$/.test(name))
    .map((name) => basename(name).replace(/\.tsv(\.gz)?$/, ''));
  return names.length === 0 ? '' : ` (splits here: ${[...new Set(names)].sort().join(', ')})`;
}

/** Reads `corpus.jsonl[.gz]` of a BEIR folder. Errors as {@link readTexts}. */
export async function loadCorpus(folder: string, options: JsonlOptions = {}): Promise<Corpus> {
  const corpus: Corpus = { ids: [], texts: [], index: new Map(), empty: 0 };
  const path = beirFile(folder, 'corpus.jsonl');
  for await (const records of readTexts(path, options)) {
    for (const record of records) {
      const text = documentText(record);
      if (text === '') corpus.empty += 1;
      corpus.index.set(record.id, corpus.ids.length);
      corpus.ids.push(record.id);
      corpus.texts.push(text);
    }
  }
  if (corpus.ids.length === 0) throw noRecords(path, 'document');
  return corpus;
}

/** Reads `queries.jsonl[.gz]` of a BEIR folder. Errors as {@link readTexts}; an empty query is refused. */
export async function loadQueries(folder: string, options: JsonlOptions = {}): Promise<Queries> {
  const queries: Queries = new Map();
  const path = beirFile(folder, 'queries.jsonl');
  for await (const records of readTexts(path, options)) {
    for (const { id, text, line } of records) {
      if (text.trim() === '') {
        throw new InputError({
          where: `${path}:${line}`,
          got: `empty query ${JSON.stringify(id)}`,
          expected: 'a text',
          remedy: 'mend or delete the line',
        });
      }
      queries.set(id, text.trim());
    }
  }
  if (queries.size === 0) throw noRecords(path, 'query');
  return queries;
}

/** Reads `qrels/SPLIT.tsv[.gz]` of a BEIR folder. Errors as {@link readQrels}. */
export function loadQrels(
  folder: string,
  split: string,
  options: { documents?: { has(id: string): boolean } } = {},
): Promise<Qrels> {
  return readQrels(beirFile(folder, join('qrels', `${split}.tsv`)), options);
}

/**
 * Reads one split of a BEIR folder. Judgements that name documents outside the corpus are refused with `file:line`;
 * judged queries without a text are left out, with one counted warning.
 */
export async function loadBeir(
  folder: string,
  split: string,
  options: JsonlOptions = {},
): Promise<BeirSplit> {
  const qrelsPath = beirFile(folder, join('qrels', `${split}.tsv`));
  const all = await loadQueries(folder, options);
  const corpus = await loadCorpus(folder, options);
  const qrels = await readQrels(qrelsPath, { documents: corpus.index });
  const queries = judgedQueries(all, qrels, qrelsPath, options.onWarning);
  return { corpus, queries, qrels };
}

/** The texts of the queries that `named` holds; those without a text are counted in one warning. */
export function judgedQueries(
  all: Queries,
  named: ReadonlyMap<string, unknown>,
  path: string,
  onWarning?: (message: string) => void,
): Queries {
  const queries: Queries = new Map();
  const unknown: string[] = [];
  for (const id of named.keys()) {
    const text = all.get(id);
    if (text === undefined) unknown.push(id);
    else queries.set(id, text);
  }
  if (queries.size === 0) {
    throw new InputError({
      where: path,
      got: `no query that queries.jsonl knows (the first: ${JSON.stringify(unknown[0])})`,
      expected: 'queries of this folder',
      remedy: 'use the folder that this file was made for',
    });
  }
  if (unknown.length > 0) {
    onWarning?.(
      `${path}: ${unknown.length} unknown ${unknown.length === 1 ? 'query' : 'queries'} left out (the first: ${JSON.stringify(unknown[0])})`,
    );
  }
  return queries;
}

function noRecords(path: string, what: string): InputError {
  return new InputError({
    where: path,
    got: 'an empty file',
    expected: `at least one ${what}`,
    remedy: 'check the path and how the file was made',
  });
}
