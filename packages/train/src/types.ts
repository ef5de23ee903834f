import type { Backend, ForwardContext, Linear, PackedBatch, Task, Tensor } from '@unimoer/core';
import type { AdapterConfig } from '@unimoer/moe-lora';

/** Judgements: query id → document id → grade. */
export type Judgements = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** What training reads of a retrieval dataset; `loadBeir` of eval-beir gives the first three fields. */
export interface TrainingData {
  /** `texts[index.get(id)]` is title and text of a document. */
  corpus: { readonly texts: readonly string[]; readonly index: ReadonlyMap<string, number> };
  queries: ReadonlyMap<string, string>;
  /** Judgements of the queries to train on; a grade of 1 or more is a positive. */
  qrels: Judgements;
  /** Rankings that hard negatives come from, best first (BM25's); query id → document ids. */
  candidates: ReadonlyMap<string, readonly string[]>;
}

/** One training arm: which tasks it sees and what it adapts. */
export interface Arm {
  /** Identifier in files and tables. */
  name: string;
  /** One line for people. */
  label: string;
  /** The tasks whose loss is used. Empty for an arm that is only evaluated. */
  tasks: readonly Task[];
  /** Null keeps the backbone frozen and bare. */
  adapter: AdapterConfig | null;
}

export interface EmbeddingTaskConfig {
  /** Queries per step. */
  queries: number;
  /** Hard negatives per query. */
  negatives: number;
  maxLength: number;
  /** InfoNCE temperature. */
  temperature: number;
  /** Weight of the task's loss. */
  weight: number;
}

export interface RerankingTaskConfig {
  /** Queries per step. */
  queries: number;
  /** Negative candidates per query beside one positive. */
  negatives: number;
  maxLength: number;
  /** `pointwise`: binary cross entropy per pair; `group`: softmax over a query's candidates. */
  loss: 'pointwise' | 'group';
  weight: number;
}

export interface OptimizerConfig {
  lr: number;
  /** Learning rate of the router's parameters; `lr` when absent. */
  routerLr?: number;
  /** Learning rate of the reranking head; `lr` when absent. */
  headLr?: number;
  weightDecay: number;
  betas: readonly [number, number];
  eps: number;
  /** Largest gradient norm; null does not clip. */
  clip: number | null;
  /** `perTask` clips each task's own parameters apart, which disjoint experts need to stay independent. */
  clipScope: 'global' | 'perTask';
  /** Share of the steps with rising learning rate; linear decay to 0 follows. */
  warmupFraction: number;
}

/** Everything that decides the result of a run, apart from model, data and code version. */
export interface TrainConfig {
  arm: Arm;
  seed: number;
  steps: number;
  /** `mixed`: both tasks in every step; `alternate`: even steps embed, odd steps rerank. */
  schedule: 'mixed' | 'alternate';
  embedding: EmbeddingTaskConfig;
  reranking: RerankingTaskConfig;
  optimizer: OptimizerConfig;
  /** Ranks (from 0) of the candidate list that negatives are drawn from: first, and one past the last. */
  negativeRanks: readonly [number, number];
  /** Layers keep only their input and are computed again in the backward pass: less memory, more time. */
  gradientCheckpointing: boolean;
  /** Steps between checkpoints; 0 writes none. Only with `outDir`. */
  checkpointEvery: number;
}

/**
 * What training needs of a backbone. Layers count from 0; `hidden` is `[tokens, hiddenSize]` in
 * the packed layout. `runLayers(…, from, to)` runs layers `from … to-1` and calls `ctx.hooks`
 * before each; with `to = layers` it includes the final norm where the family has one.
 */
export interface TrainableBackbone {
  /** Identifies weights and shape; part of the feature cache's key. */
  readonly fingerprint: string;
  readonly hiddenSize: number;
  readonly layers: number;
  /** Storage of activations. */
  readonly dtype: 'f32' | 'bf16';
  readonly backend: Backend;
  /** The longest sequence, special tokens included. */
  readonly maxLength: number;
  linears(): readonly Linear[];
  embedTokens(batch: PackedBatch, ctx: ForwardContext): Tensor;
  runLayers(hidden: Tensor, ctx: ForwardContext, from: number, to: number): Tensor;
  /** Pooled states `[sequences, hiddenSize]`, not normalised. */
  pool(hidden: Tensor, batch: PackedBatch): Tensor;
  pack(sequences: readonly EncodedText[], tasks: readonly Task[]): PackedBatch;
  /**
   * Logits `[sequences, 2]` (no, yes) of a decoder's relevance read-out. With it, reranking trains and
   * scores these; without it, a linear head on the pooled state.
   */
  yesNoLogits?(hidden: Tensor, batch: PackedBatch): Tensor;
}

/** Token ids of one text or pair, special tokens included. */
export interface EncodedText {
  ids: readonly number[];
  /** Segment of each token: 0 query, 1 document. Absent for a single text. */
  types?: readonly number[];
  /** Number of leading tokens that belong to the query (with its special tokens). Pairs only. */
  queryTokens?: number;
}

/** What training needs of a tokeniser. */
export interface TrainTokenizer {
  encode(text: string, maxLength: number, kind: 'query' | 'document'): EncodedText;
  /** `[CLS] query [SEP] document [SEP]`; a pair that is too long loses the document's end. */
  encodePair(query: string, document: string, maxLength: number): EncodedText;
}

export interface TrainDeps {
  backbone: TrainableBackbone;
  tokenizer: TrainTokenizer;
  data: TrainingData;
  /** Hidden states below the lowest adapted layer, shared by the runs of a study. */
  cache?: FeatureStore;
  /** Folder for `metrics.jsonl` and checkpoints; nothing is written when absent. */
  outDir?: string;
  /** Continue from the newest checkpoint in `outDir` when there is one. */
  resume?: boolean;
  /** Stops at the next step boundary, after a checkpoint when there is an `outDir`. */
  signal?: AbortSignal;
  onProgress?: (event: TrainProgress) => void;
}

/** Hidden states of texts at one layer, keyed by their tokens. */
export interface FeatureStore {
  get(key: string): Uint8Array | undefined;
  /** Ignored once the store's budget is spent. */
  set(key: string, bytes: Uint8Array): void;
  readonly bytes: number;
}

/** One line of `metrics.jsonl`, without the timing fields that only progress carries. */
export interface StepMetrics {
  step: number;
  /** Losses before weighting; absent where the step did not train the task. */
  embeddingLoss?: number;
  rerankingLoss?: number;
  /** Weighted sum of the router's auxiliary losses. */
  routerLoss?: number;
  gradNorm: number;
  lrFactor: number;
  tokens: number;
}

export type TrainProgress =
  | { type: 'start'; step: number; steps: number; resumed: boolean }
  | { type: 'step'; metrics: StepMetrics; steps: number; seconds: number }
  | { type: 'checkpoint'; step: number; path: string }
  | { type: 'encode'; done: number; total: number };

/** Mean gate per layer, expert and task; `mass[layer][expert]` follow the order of the names. */
export interface RoutingSummary {
  layers: number[];
  experts: string[];
  /** Sequences (tokens for token-level routers) counted per task. */
  sequences: Record<Task, number>;
  /** Null for a task that was not seen. */
  mass: Record<Task, number[][] | null>;
  /** Mean number of active experts, per layer. */
  active: Record<Task, number[] | null>;
}

export interface EvaluateOptions {
  maxLength: number;
  /** Tokens per forward pass; 8192 when absent. */
  batchTokens?: number;
  signal?: AbortSignal;
  onProgress?: (event: TrainProgress) => void;
}

/** A trained arm attached to its backbone; `dispose` detaches it and frees its parameters. */
export interface TrainedModel {
  /** L2-normalised vectors, `[texts, hiddenSize]` row-major, in input order. */
  encodeTexts(
    texts: readonly string[],
    kind: 'query' | 'document',
    options: EvaluateOptions,
  ): Promise<Float32Array>;
  /** Relevance logits of (query, document) pairs, in input order. */
  scorePairs(
    pairs: readonly (readonly [query: string, document: string])[],
    options: EvaluateOptions,
  ): Promise<Float32Array>;
  /** Whether `scorePairs` has a trained head. */
  readonly canScore: boolean;
  /** Gate masses gathered by `encodeTexts` and `scorePairs` since the last reset; null without a router. */
  routing(): RoutingSummary | null;
  resetRouting(): void;
  /** Writes the adapter (PEFT layout for plain LoRA) and the head into a folder. */
  save(dir: string): void;
  dispose(): void;
}

/** Figures of a run; equal for two runs of the same configuration on the same machine. */
export interface TrainSummary {
  arm: string;
  seed: number;
  steps: number;
  trainableParameters: number;
  /** Parameters by group: adapter, router, head. */
  parameterGroups: Record<string, number>;
  /** Tokens that passed through the adapted part. */
  tokens: number;
  /** Estimated floating-point operations of training, cached layers counted once where computed. */
  flops: number;
  /** Loss per step and task, unweighted. */
  curve: StepMetrics[];
  /** Queries left out of training, by reason. */
  skipped: Record<string, number>;
}

export interface TrainResult {
  status: 'finished' | 'interrupted';
  summary: TrainSummary;
  /** Null when interrupted. */
  model: TrainedModel | null;
}
