/** Longest token; longer runs are cut into pieces of this many characters, as Lucene's StandardAnalyzer does. */
const MAX_TOKEN = 255;

/**
 * Words by the rules of UAX #29 that matter for written text, as Lucene's StandardTokenizer applies them: letters,
 * marks and digits run together; one apostrophe, full stop, colon or middle dot joins letters, one comma, full stop,
 * semicolon or apostrophe joins digits; underscores join everything; Han and Hiragana characters stand alone.
 */
const IDEOGRAPH = '[\\p{Script=Han}\\p{Script=Hiragana}]';
const EXTEND = '[\\p{M}\\p{Cf}]*';
const LETTER = `(?!${IDEOGRAPH})[\\p{L}\\p{Nl}]${EXTEND}`;
const DIGIT = `\\p{Nd}${EXTEND}`;
const MID_LETTER =
  "[.'\\u2018\\u2019\\u2024\\uFE52\\uFF07\\uFF0E:\\u00B7\\u0387\\u05F4\\u2027\\uFE13\\uFE55\\uFF1A]";
const MID_NUMBER =
  "[.'\\u2018\\u2019\\u2024\\uFE52\\uFF07\\uFF0E,;\\u037E\\u0589\\u060C\\u060D\\u066C\\u07F8\\u2044\\uFE10\\uFE14\\uFE50\\uFE54\\uFF0C\\uFF1B]";
const JOIN = '[\\p{Pc}]';
const UNIT = `(?:${LETTER}(?:${MID_LETTER}(?=${LETTER}))?|${DIGIT}(?:${MID_NUMBER}(?=${DIGIT}))?)`;
const WORD = new RegExp(`${IDEOGRAPH}${EXTEND}|${JOIN}*${UNIT}(?:${UNIT}|${JOIN}+)*`, 'gu');

/** Splits a text into words, case kept. */
export function tokenize(text: string): string[] {
  const words: string[] = [];
  for (const [word] of text.matchAll(WORD)) {
    if (word.length <= MAX_TOKEN) words.push(word);
    else {
      for (let i = 0; i < word.length; i += MAX_TOKEN) words.push(word.slice(i, i + MAX_TOKEN));
    }
  }
  return words;
}
