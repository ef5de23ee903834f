import { stemmer } from 'stemmer';
import { tokenize } from './tokenize.js';

/** Turns a text into index terms. */
export type Analyzer = (text: string) => string[];

/** The 33 English stop words of Lucene's EnglishAnalyzer. */
export const LUCENE_STOP_WORDS: ReadonlySet<string> = new Set(
  'a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was will with'.split(
    ' ',
  ),
);

const POSSESSIVE = /['\u2019\uFF07][sS]$/;
const stems = new Map<string, string>();
const MAX_CACHED_STEMS = 1_000_000;

/**
 * English analysis as Lucene's EnglishAnalyzer does it: standard tokens, possessive 's removed, lower case, stop words
 * removed, Porter's stemmer (1980).
 */
export function analyzeEnglish(text: string): string[] {
  const terms: string[] = [];
  for (const token of tokenize(text)) {
    const word = token.replace(POSSESSIVE, '').toLowerCase();
    if (word !== '' && !LUCENE_STOP_WORDS.has(word)) terms.push(stem(word));
  }
  return terms;
}

function stem(word: string): string {
  let result = stems.get(word);
  if (result === undefined) {
    result = stemmer(word);
    if (stems.size < MAX_CACHED_STEMS) stems.set(word, result);
  }
  return result;
}
