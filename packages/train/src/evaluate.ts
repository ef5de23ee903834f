import { setImmediate as nextTick } from 'node:timers/promises';
import {
  disposeBatch,
  InputError,
  l2Normalize,
  noGrad,
  scope,
  type Task,
  type Tensor,
  UnimoerError,
} from '@unimoer/core';
import { RoutingRecorder } from '@unimoer/moe-lora';
import type { ArmModel, Pass } from './model';
import { singleLogits } from './objectives';
import { saveTrained } from './trained-folder';
import type {
  EncodedText,
  EvaluateOptions,
  RoutingSummary,
  TrainedModel,
  TrainTokenizer,
} from './types';

const DEFAULT_BATCH_TOKENS = 8192;

/** Evaluation of an arm's model; owns the model. */
export class ArmEvaluator implements TrainedModel {
  private readonly recorder: RoutingRecorder | null;

  constructor(
    private readonly model: ArmModel,
    private readonly tokenizer: TrainTokenizer,
  ) {
    const experts = model.adapter?.routedExperts ?? [];
    this.recorder =
      experts.length > 0 ? new RoutingRecorder(experts.map((expert) => expert.name)) : null;
  }

  get canScore(): boolean {
    return this.model.scores;
  }

  async encodeTexts(
    texts: readonly string[],
    kind: 'query' | 'document',
    options: EvaluateOptions,
  ): Promise<Float32Array> {
    const { backbone } = this.model;
    return this.run(
      texts.map((text) => this.tokenizer.encode(text, options.maxLength, kind)),
      'embedding',
      backbone.hiddenSize,
      (pass) => l2Normalize(backbone.pool(pass.hidden, pass.ctx.batch)),
      options,
    );
  }

  async scorePairs(
    pairs: readonly (readonly [query: string, document: string])[],
    options: EvaluateOptions,
  ): Promise<Float32Array> {
    if (!this.canScore) {
      throw new InputError({
        where: `arm ${this.model.arm.name}`,
        got: 'a model without a reranking head',
        expected: 'an arm that trains reranking',
        remedy: 'train it with the task reranking',
      });
    }
    return this.run(
      pairs.map(([query, document]) =>
        this.tokenizer.encodePair(query, document, options.maxLength),
      ),
      'reranking',
      1,
      (pass, batch) => singleLogits(this.model.relevance(pass, batch)),
      options,
    );
  }

  routing(): RoutingSummary | null {
    if (!this.recorder) return null;
    const { groups, ...means } = this.recorder.summary();
    return { ...means, sequences: groups };
  }

  resetRouting(): void {
    this.recorder?.reset();
  }

  save(dir: string): void {
    saveTrained(this.model, dir);
  }

  dispose(): void {
    this.model.dispose();
  }

  /** Runs length-sorted batches under a token budget and puts the rows back into input order. */
  private async run(
    texts: readonly EncodedText[],
    task: Task,
    width: number,
    read: (pass: Pass, batch: readonly EncodedText[]) => Tensor,
    { batchTokens = DEFAULT_BATCH_TOKENS, signal, onProgress }: EvaluateOptions,
  ): Promise<Float32Array> {
    const out = new Float32Array(texts.length * width);
    let done = 0;
    for (const positions of tokenBatches(texts, batchTokens)) {
      signal?.throwIfAborted();
      const batch = positions.map((i) => texts[i]!);
      const rows = noGrad(() =>
        scope(() => {
          const pass = this.model.forward(batch, task, false);
          const values = read(pass, batch).toArray();
          this.recorder?.add(pass.routings, pass.ctx.batch);
          disposeBatch(pass.ctx.batch);
          return values;
        }),
      );
      positions.forEach((position, row) => {
        for (let c = 0; c < width; c++) out[position * width + c] = rows[row * width + c]!;
      });
      checkFinite(rows, this.model.arm.name, task);
      done += positions.length;
      onProgress?.({ type: 'encode', done, total: texts.length });
      await nextTick();
    }
    return out;
  }
}

/**
 * Positions of texts in batches of at most `budget` tokens (a longer text is alone), longest first, so
 * that texts of similar length run together. Deterministic: equal lengths keep their order.
 */
export function tokenBatches(texts: readonly EncodedText[], budget: number): number[][] {
  const order = texts
    .map((text, position) => ({ position, length: text.ids.length }))
    .sort((a, b) => b.length - a.length || a.position - b.position);
  const batches: number[][] = [];
  let tokens = Number.POSITIVE_INFINITY;
  for (const { position, length } of order) {
    if (tokens + length > budget) {
      batches.push([]);
      tokens = 0;
    }
    batches.at(-1)!.push(position);
    tokens += length;
  }
  return batches;
}

function checkFinite(rows: ArrayLike<number>, arm: string, task: Task): void {
  for (let i = 0; i < rows.length; i++) {
    if (Number.isFinite(rows[i]!)) continue;
    throw new UnimoerError(
      'NOT_FINITE',
      `arm ${arm}, ${task}: got ${rows[i]} in the output, expected finite numbers; lower the learning rate`,
    );
  }
}
