import {
  disposeBatch,
  ForwardContext,
  InputError,
  type LayerHook,
  type Linear,
  l2Normalize,
  noGrad,
  type PackedBatch,
  packBatch,
  scope,
  type Task,
  type Tensor,
} from '@unimoer/core';
import type { Backbone } from './backbones/backbone';
import { breathe, planBatches } from './batching';
import type { PoolingMode } from './config/sentence-transformers';
import { hashFiles } from './fingerprint';
import type { RerankHead } from './heads/head';
import { pool } from './pooling';
import type { Encoded, TextTokenizer } from './tokenizer';

export type TextTask = 'query' | 'document';
export type PairEncoder = (query: string, document: string, maxLength: number) => Encoded;

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

export interface ModelParts {
  name: string;
  folder: string;
  weightFiles: readonly string[];
  backbone: Backbone;
  tokenizer: TextTokenizer;
  pooling: { mode: PoolingMode; includePrompt: boolean };
  normalized: boolean;
  prompts: ReadonlyMap<string, string>;
  defaultPrompt: string | null;
  maxLength: number;
  maxLengthGiven: boolean;
  head: RerankHead | null;
  noHead: string;
  noEmbedding: string | null;
  pairs: PairEncoder;
  pairLength: number | null;
  warnings: readonly string[];
  release: () => void;
}

const WINDOW = 16384;
const BATCH_TOKENS = 8192;
const DOCUMENT_PROMPTS = ['document', 'passage', 'corpus'];

/** An embedder, a reranker, or both, on one frozen backbone. Free it with `dispose`. */
export class Model {
  readonly name: string;
  readonly folder: string;
  readonly backbone: Backbone;
  readonly tokenizer: TextTokenizer;
  readonly pooling: { readonly mode: PoolingMode; readonly includePrompt: boolean };
  /** Tokens per text when a call does not say. */
  readonly maxLength: number;
  /** What the folder made questionable; for stderr. */
  readonly warnings: readonly string[];
  /** Read-out of `score`; null for an encoder. A trained head may be set here. */
  head: RerankHead | null;
  /** Called before each layer of every forward pass; routers of attached adapters go here. */
  hooks: LayerHook[] = [];
  private fingerprintValue: string | null = null;

  constructor(private readonly parts: ModelParts) {
    this.name = parts.name;
    this.folder = parts.folder;
    this.backbone = parts.backbone;
    this.tokenizer = parts.tokenizer;
    this.pooling = parts.pooling;
    this.maxLength = parts.maxLength;
    this.warnings = parts.warnings;
    this.head = parts.head;
  }

  /** Length of a vector. */
  get dim(): number {
    return this.backbone.hiddenSize;
  }

  /** SHA-256 over configuration and weights; names the frozen backbone whatever its path. */
  get fingerprint(): string {
    this.fingerprintValue ??= hashFiles(this.parts.weightFiles, {
      config: this.backbone.config,
      dtype: this.backbone.dtype,
    });
    return this.fingerprintValue;
  }

  /** Adaptable linears by name, in the order in which they run. */
  linears(): Map<string, Linear> {
    return new Map(this.backbone.linears().map((linear) => [linear.name, linear]));
  }

  /** The prompt put before a text of a task; empty where the folder has none. */
  promptFor(task?: TextTask): string {
    const { prompts, defaultPrompt } = this.parts;
    if (task === undefined) return (defaultPrompt && prompts.get(defaultPrompt)) || '';
    const names = task === 'query' ? ['query'] : DOCUMENT_PROMPTS;
    const name = names.find((candidate) => prompts.has(candidate));
    return (name !== undefined && prompts.get(name)) || '';
  }

  /** Tokens of a text with its prompt. Throws InputError for an empty query. */
  encodeText(text: string, maxLength: number, task?: TextTask, name?: string): Encoded {
    if (task === 'query') refuseEmptyQuery(text, name);
    return this.tokenizer.encode(this.promptFor(task) + text, maxLength);
  }

  /** Tokens of a pair, with the model's template. Throws InputError for an empty query. */
  encodePair(query: string, document: string, maxLength: number, name?: string): Encoded {
    refuseEmptyQuery(query, name);
    return this.parts.pairs(query, document, maxLength);
  }

  /** Packs encoded texts; segment ids only where the backbone knows them and they matter. */
  pack(
    sequences: readonly { ids: readonly number[]; types?: readonly number[] }[],
    tasks?: Task[],
  ) {
    const { config } = this.backbone;
    const typed =
      config.family === 'bert' && sequences.some(({ types }) => types?.some((type) => type > 0));
    return packBatch(
      sequences.map(({ ids }) => ids),
      {
        backend: this.backend,
        ...(tasks ? { tasks } : {}),
        ...(typed
          ? { tokenTypes: sequences.map(({ ids, types }) => types ?? ids.map(() => 0)) }
          : {}),
      },
    );
  }

  /** Embeds texts. Throws InputError for an empty query, a cross encoder and a non-finite vector. */
  async embed(texts: readonly string[], options: EmbedOptions = {}): Promise<EmbedResult> {
    if (this.parts.noEmbedding !== null) {
      throw new InputError({
        where: `model ${this.name}`,
        got: this.parts.noEmbedding,
        expected: 'an encoder',
        remedy: 'use rerank with this model, or another model',
      });
    }
    const { task, normalize = true } = options;
    const tally = new Tally();
    const limit = this.limit(options.maxLength, this.maxLength, tally);
    const { dim } = this;
    const vectors = new Float32Array(texts.length * dim);
    const prompt = this.promptFor(task);
    const skip = this.pooling.includePrompt ? 0 : this.tokenizer.promptTokens(prompt);
    const encode = (i: number): Encoded => {
      const text = texts[i]!;
      if (text.trim() === '' && task !== 'query') tally.count('emptyDocument');
      return this.encodeText(text, limit, task, nameOf(options, i, 'text'));
    };
    await this.run(texts.length, encode, 'embedding', options, tally, (hidden, batch, members) => {
      const pooled = pool(hidden, batch, this.pooling.mode, { skip });
      const rows = (normalize ? l2Normalize(pooled) : pooled).toArray();
      members.forEach((i, row) => {
        vectors.set(rows.subarray(row * dim, (row + 1) * dim), i * dim);
      });
      return rows;
    });
    return { vectors, dim, warnings: tally.list() };
  }

  /** Scores (query, document) pairs. Throws InputError for an encoder without head and an empty query. */
  async score(
    pairs: readonly (readonly [query: string, document: string])[],
    options: ScoreOptions = {},
  ): Promise<ScoreResult> {
    const { head } = this;
    if (!head) {
      throw new InputError({
        where: `model ${this.name}`,
        got: this.parts.noHead,
        expected: 'a cross encoder, or an adapter with a trained head',
        remedy: 'train a head with `unimoer train` and pass its folder as --adapter',
      });
    }
    const tally = new Tally();
    const scores = new Float32Array(pairs.length);
    const limit = this.limit(options.maxLength, this.pairMaxLength, tally);
    const encode = (i: number): Encoded => {
      const [query, document] = pairs[i]!;
      if (document.trim() === '') tally.count('emptyDocument');
      return this.encodePair(query, document, limit, nameOf(options, i, 'query of pair'));
    };
    await this.run(
      pairs.length,
      encode,
      'reranking',
      options,
      tally,
      (hidden, batch, members, pack) => {
        const logits = head.logits(hidden, batch, pack).toArray();
        members.forEach((i, row) => {
          const logit = logits[row]!;
          scores[i] = options.raw ? logit : 1 / (1 + Math.exp(-logit));
        });
        return logits;
      },
    );
    return { scores, warnings: tally.list() };
  }

  dispose(): void {
    this.parts.release();
  }

  /** Tokens per pair when a call does not say. */
  get pairMaxLength(): number {
    const { pairLength, maxLengthGiven } = this.parts;
    if (pairLength === null || maxLengthGiven) return this.maxLength;
    return Math.min(pairLength, this.backbone.config.maxPositions);
  }

  private get backend() {
    const [first] = this.backbone.linears();
    return first!.weight.backend;
  }

  private limit(requested: number | undefined, fallback: number, tally: Tally): number {
    const positions = this.backbone.config.maxPositions;
    if (requested === undefined) return fallback;
    if (!Number.isInteger(requested) || requested < 1) throw wrongCount('maxLength', requested);
    if (requested > positions) {
      tally.count('lengthClamped', ` (${requested} to ${positions})`);
    }
    return Math.min(requested, positions);
  }

  /** Windows of texts, each tokenised, sorted by length, packed to the token budget and read out. */
  private async run(
    total: number,
    encode: (i: number) => Encoded,
    task: Task,
    options: RunOptions,
    tally: Tally,
    readOut: (
      hidden: Tensor,
      batch: PackedBatch,
      members: readonly number[],
      encoded: readonly Encoded[],
    ) => ArrayLike<number>,
  ): Promise<void> {
    const { batchTokens = BATCH_TOKENS, signal, onProgress } = options;
    if (!Number.isInteger(batchTokens) || batchTokens < 1)
      throw wrongCount('batchTokens', batchTokens);
    signal?.throwIfAborted();
    let done = 0;
    for (let start = 0; start < total; start += WINDOW) {
      const encoded = Array.from({ length: Math.min(WINDOW, total - start) }, (_, i) => {
        const item = encode(start + i);
        if (item.truncated) tally.count('truncated');
        if (item.ids.length === 0) tally.count('noTokens');
        return item;
      });
      const filled = encoded.map((_, i) => i).filter((i) => encoded[i]!.ids.length > 0);
      done += encoded.length - filled.length;
      const lengths = filled.map((i) => encoded[i]!.ids.length);
      let broken = Number.POSITIVE_INFINITY;
      for (const plan of planBatches(lengths, batchTokens)) {
        const local = plan.map((j) => filled[j]!);
        // After a non-finite result only batches with earlier texts matter: the error names the first one.
        if (broken < Number.POSITIVE_INFINITY && local.every((i) => start + i > broken)) continue;
        await breathe(signal);
        const members = local.map((i) => start + i);
        const sequences = local.map((i) => encoded[i]!);
        const batch = this.pack(
          sequences,
          local.map(() => task),
        );
        try {
          const values = noGrad(() =>
            scope(() => {
              const ctx = new ForwardContext(batch, { hooks: this.hooks });
              return readOut(this.backbone.forward(ctx), batch, members, sequences);
            }),
          );
          broken = Math.min(broken, firstBroken(values, members));
        } finally {
          disposeBatch(batch);
        }
        done += members.length;
        onProgress?.(done, total);
      }
      if (broken < Number.POSITIVE_INFINITY) throw notFinite(nameOf(options, broken, 'text'));
    }
  }
}

function firstBroken(values: ArrayLike<number>, members: readonly number[]): number {
  const width = values.length / members.length;
  let first = Number.POSITIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i]!)) first = Math.min(first, members[Math.floor(i / width)]!);
  }
  return first;
}

function nameOf(options: RunOptions, i: number, kind: string): string {
  return options.names?.[i] ?? `${kind} ${i + 1}`;
}

function refuseEmptyQuery(text: string, name = 'query'): void {
  if (text.trim() !== '') return;
  const [got, expected] = ['an empty query', 'a query with text'];
  throw new InputError({ where: name, got, expected, remedy: 'fill in or remove the query' });
}

function wrongCount(where: string, value: number): InputError {
  const expected = 'a whole number of at least 1';
  return new InputError({ where, got: String(value), expected, remedy: 'correct the option' });
}

function notFinite(name: string): InputError {
  return new InputError({
    where: name,
    got: 'a result that is not finite',
    expected: 'finite numbers',
    remedy: 'check the weights, or compute in f32',
  });
}

const MESSAGES: Readonly<Record<CountedWarning['code'], (count: number) => string>> = {
  truncated: (n) => `${n} ${n === 1 ? 'text was' : 'texts were'} longer than the limit and cut`,
  emptyDocument: (n) => `${n} ${n === 1 ? 'document is' : 'documents are'} empty`,
  noTokens: (n) => `${n} ${n === 1 ? 'text gives' : 'texts give'} no token; the result is zero`,
  lengthClamped: () => `the maximum length was clamped to the model's positions`,
};

class Tally {
  private readonly counts = new Map<CountedWarning['code'], { count: number; note: string }>();

  count(code: CountedWarning['code'], note = ''): void {
    const entry = this.counts.get(code);
    if (entry) entry.count++;
    else this.counts.set(code, { count: 1, note });
  }

  list(): CountedWarning[] {
    return [...this.counts].map(([code, { count, note }]) => {
      return { code, count, message: MESSAGES[code](count) + note };
    });
  }
}
