import {
  type Backend,
  ForwardContext,
  InputError,
  type LayerHook,
  type Linear,
  l2Normalize,
  type PackedBatch,
  packBatch,
  type Task,
  type Tensor,
  type QuantizeOptions,
} from '@unimoer/core';
import type { Backbone } from './backbones/backbone';
import { nameOf, runBatches, wrongCount } from './batch-runner';
import type { PoolingMode } from './config/sentence-transformers';
import { hashFiles } from './fingerprint';
import type { RerankHead } from './heads/head';
import { pool } from './pooling';
import type { EmbedOptions, EmbedResult, ScoreOptions, ScoreResult, TextTask } from './run-options';
import { Tally } from './tally';
import type { Encoded, TextTokenizer } from './tokenizer';

/** Tokens of a (query, document) pair of at most `maxLength`. */
export type PairEncoder = (query: string, document: string, maxLength: number) => Encoded;

/** What `loadModel` found in a folder. */
export interface ModelParts {
  name: string;
  folder: string;
  weightFiles: readonly string[];
  /** How the linears' weights are quantised, or null. */
  quantized: QuantizeOptions | null;
  backbone: Backbone;
  tokenizer: TextTokenizer;
  pooling: { mode: PoolingMode; includePrompt: boolean };
  prompts: ReadonlyMap<string, string>;
  defaultPrompt: string | null;
  /** sentence-transformers' do_lower_case: texts are lower-cased before the tokeniser sees them. */
  lowerCase: boolean;
  maxLength: number;
  /** The user, not the folder, gave maxLength. */
  maxLengthGiven: boolean;
  head: RerankHead | null;
  /** Why `score` is refused without a head. */
  noHead: string;
  /** Why `embed` is refused, or null. */
  noEmbedding: string | null;
  pairs: PairEncoder;
  /** Length of pairs when nobody gave one; null takes maxLength. */
  pairLength: number | null;
  warnings: readonly string[];
  release: () => void;
}

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
      ...(this.parts.quantized ? { weights: this.parts.quantized } : {}),
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
    const prompted = this.promptFor(task) + text;
    return this.tokenizer.encode(
      this.parts.lowerCase ? prompted.toLowerCase() : prompted,
      maxLength,
    );
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
  ): PackedBatch {
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
    await runBatches({
      total: texts.length,
      kind: 'text',
      options,
      tally,
      encode: (i) => {
        const text = texts[i]!;
        if (text.trim() === '' && task !== 'query') tally.count('emptyDocument');
        return this.encodeText(text, limit, task, nameOf(options, i, 'text'));
      },
      pack: (sequences) => this.pack(sequences, fill('embedding', sequences)),
      compute: (batch, members) => {
        const pooled = pool(this.forward(batch), batch, this.pooling.mode, { skip });
        const rows = (normalize ? l2Normalize(pooled) : pooled).toArray();
        members.forEach((i, row) => {
          vectors.set(rows.subarray(row * dim, (row + 1) * dim), i * dim);
        });
        return rows;
      },
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
    await runBatches({
      total: pairs.length,
      kind: 'pair',
      options,
      tally,
      encode: (i) => {
        const [query, document] = pairs[i]!;
        if (document.trim() === '') tally.count('emptyDocument');
        return this.encodePair(query, document, limit, nameOf(options, i, 'query of pair'));
      },
      pack: (sequences) => this.pack(sequences, fill('reranking', sequences)),
      compute: (batch, members, sequences) => {
        const logits = head.logits(this.forward(batch), batch, sequences).toArray();
        members.forEach((i, row) => {
          const logit = logits[row]!;
          scores[i] = options.raw ? logit : 1 / (1 + Math.exp(-logit));
        });
        return logits;
      },
    });
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

  private get backend(): Backend {
    return this.backbone.linears()[0]!.weight.backend;
  }

  private forward(batch: PackedBatch): Tensor {
    return this.backbone.forward(new ForwardContext(batch, { hooks: this.hooks }));
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
}

function fill(task: Task, sequences: readonly unknown[]): Task[] {
  return sequences.map(() => task);
}

function refuseEmptyQuery(text: string, name = 'query'): void {
  if (text.trim() !== '') return;
  const [got, expected] = ['an empty query', 'a query with text'];
  throw new InputError({ where: name, got, expected, remedy: 'fill in or remove the query' });
}
