/**
 * Document lengths as Lucene stores them: one byte, exact up to 39 terms, then four significant bits
 * (SmallFloat.intToByte4 and back). Returns the length that scoring sees.
 */
export function luceneLength(terms: number): number {
  const free = 24;
  if (terms < free) return terms;
  const rest = terms - free;
  const shift = Math.max(0, 32 - Math.clz32(rest) - 4);
  return free + (rest >>> shift) * 2 ** shift;
}
