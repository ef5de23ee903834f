/** A document with its score, as a run lists it. */
export interface ScoredDocument {
  id: string;
  score: number;
}

/** A run: for every query its documents. Writers and metrics put them in trec_eval's order themselves. */
export type Run = Map<string, ScoredDocument[]>;

/** Whether scores are compared as float32 (trec_eval 9 and pytrec_eval, the default) or float64 (trec_eval 10). */
export type ScorePrecision = 'float32' | 'float64';

/**
 * Compares two strings by their UTF-8 bytes: negative where `a` comes first. UTF-8 order is code point order, which
 * differs from JavaScript's `<` where one string has a surrogate and the other a code unit from U+E000 up.
 */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const xSurrogate = x >= 0xd800 && x < 0xe000;
    const ySurrogate = y >= 0xd800 && y < 0xe000;
    if (xSurrogate !== ySurrogate && x >= 0xd800 && y >= 0xd800) return xSurrogate ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

/** A sorted copy in trec_eval's order: score descending, then id as UTF-8 bytes descending. */
export function trecOrder(
  documents: readonly ScoredDocument[],
  precision: ScorePrecision = 'float32',
): ScoredDocument[] {
  const key = precision === 'float32' ? Math.fround : (x: number): number => x;
  return [...documents].sort((a, b) => {
    const x = key(a.score);
    const y = key(b.score);
    return x === y ? compareUtf8(b.id, a.id) : x < y ? 1 : -1;
  });
}

/**
 * Rank of every id when ids are sorted descending by UTF-8 bytes: among equal scores the smaller rank comes first.
 * Computed once for a collection, it turns tie-breaking into an integer comparison.
 */
export function tieRanks(ids: readonly string[]): Int32Array {
  const order = Array.from(ids, (_, i) => i).sort((i, j) => compareUtf8(ids[j]!, ids[i]!));
  const ranks = new Int32Array(ids.length);
  for (let rank = 0; rank < order.length; rank++) ranks[order[rank]!] = rank;
  return ranks;
}
