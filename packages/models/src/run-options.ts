export type TextTask = 'query' | 'document';
/** Something that happened to `count` texts and that a user should know. */
export interface CountedWarning {
  code: 'truncated' | 'emptyDocument' | 'noTokens' | 'lengthClamped';
  count: number;
  message: string;
}

export interface RunOptions {
  /** Tokens per text or pair, special tokens included; clamped to the positions with a warning. */
  maxLength?: number;
  /** Tokens per forward pass. Default 8192. */
  batchTokens?: number;
  /** Names of the texts for error messages; their numbers when absent. */
  names?: readonly string[];
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
}

export interface EmbedOptions extends RunOptions {
  /** Chooses the prompt. Without it: the folder's default prompt, and the texts count as documents. */
  task?: TextTask;
  /** L2-normalise, whatever the folder says. Default true. */
  normalize?: boolean;
}

export interface EmbedResult {
  /** Row-major `[texts, dim]`, rows in input order. */
  vectors: Float32Array;
  dim: number;
  warnings: CountedWarning[];
}

export interface ScoreOptions extends RunOptions {
  /** Returns the logit instead of its sigmoid. Default false. */
  raw?: boolean;
}

export interface ScoreResult {
  /** One per pair, in input order. */
  scores: Float32Array;
  warnings: CountedWarning[];
}
