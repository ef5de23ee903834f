/** Bounds of loops, without which a line of millions of word characters would exhaust the matcher's stack. */
const SOME = '{1,50000}';
const ANY = '{0,50000}';

/** Longest token; longer runs are cut into pieces of this many characters, as Lucene's StandardAnalyzer does. */
const MAX_TOKEN = 255;

/**
 * Words by the rules of UAX #29 that matter for written text, as Lucene's StandardTokenizer applies them: letters,
 * marks and digits run together; one apostrophe, full stop, colon or middle dot joins letters, one comma, full stop,
 * semicolon or apostrophe joins digits; Katakana runs together apart from letters; underscores join all of these; Han and
 * Hiragana characters stand alone.
 */
const IDEOGRAPH = '[\\p{Script=Han}\\p{Script=Hiragana}]';
const EXTEND = `[\\p{M}\\p{Cf}]${ANY}`;
const KATAKANA = `[\\p{Script=Katakana}\\u3031-\\u3035\\u309B\\u309C\\u30A0\\u30FC\\uFF70]`;
const LETTER = `(?!${IDEOGRAPH}|${KATAKANA})[\\p{L}\\p{Nl}]${EXTEND}`;
const DIGIT = `\\p{Nd}${EXTEND}`;
const MID_LETTER =
  "[.'\\u2018\\u2019\\u2024\\uFE52\\uFF07\\uFF0E:\\u00B7\\u0387\\u05F4\\u2027\\uFE13\\uFE55\\uFF1A]";
const MID_NUMBER =
  "[.'\\u2018\\u2019\\u2024\\uFE52\\uFF07\\uFF0E,;\\u037E\\u0589\\u060C\\u060D\\u066C\\u07F8\\u2044\\uFE10\\uFE14\\uFE50\\uFE54\\uFF0C\\uFF1B]";
const JOIN = `\\p{Pc}${EXTEND}`;
const UNIT = `${LETTER}(?:${MID_LETTER}${EXTEND}(?=${LETTER}))?|${DIGIT}(?:${MID_NUMBER}${EXTEND}(?=${DIGIT}))?`;
const RUN = `(?:(?:${UNIT})${SOME}|(?:${KATAKANA}${EXTEND})${SOME})`;
const REST = `(?:(?:${JOIN})${SOME}${RUN})${ANY}(?:${JOIN})${ANY}`;
// Joiners alone match as well, so that a long line of them is passed over once; they are no words.
const WORD = new RegExp(
  `${IDEOGRAPH}${EXTEND}|${RUN}${REST}|(?:${JOIN})${SOME}(?:${RUN}${REST})?`,
  'gu',
);
const JOINERS = new RegExp(`^(?:${JOIN})+$`, 'u');

/** Splits a text into words, case kept. */
export function tokenize(text: string): string[] {
  const words: string[] = [];
  for (const [word] of text.matchAll(WORD)) {
    if (JOINERS.test(word)) continue;
    for (let i = 0; i < word.length; i += MAX_TOKEN) words.push(word.slice(i, i + MAX_TOKEN));
  }
  return words;
}
