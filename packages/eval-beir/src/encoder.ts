/** Role of a text: models may treat queries and documents differently (prompts). */
export type TextRole = 'query' | 'document';

/** An embedder, as dense retrieval needs it. Any model that implements this can be searched with. */
export interface Encoder {
  readonly dim: number;
  /** One vector a text, row-major `[texts.length, dim]`; `ids` name the texts in messages. */
  encode(
    texts: readonly string[],
    about: { role: TextRole; ids: readonly string[] },
  ): Float32Array | Promise<Float32Array>;
}

/** A query with one candidate document. */
export interface TextPair {
  query: string;
  document: string;
  /** Ids of the two, for messages. */
  queryId: string;
  documentId: string;
}

/** A reranker, as the second stage needs it: one relevance score a pair, higher is better. */
export interface PairScorer {
  score(pairs: readonly TextPair[]): ArrayLike<number> | Promise<ArrayLike<number>>;
}
