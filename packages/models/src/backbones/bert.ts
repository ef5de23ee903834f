import {
  add,
  attention,
  cast,
  type ForwardContext,
  forwardFeedForward,
  forwardTogether,
  gatherRows,
  InputError,
  type Linear,
  layerNorm,
  type PackedBatch,
  scope,
  type Tensor,
} from '@unimoer/core';
import type { BertConfig } from '../config/backbone';
import type { ComputeDType, WeightReader } from '../weights';
import { type Backbone, runLayers } from './backbone';

interface Norm {
  weight: Tensor;
  bias: Tensor;
}

interface BertLayer {
  query: Linear;
  key: Linear;
  value: Linear;
  attentionOutput: Linear;
  attentionNorm: Norm;
  intermediate: Linear;
  output: Linear;
  outputNorm: Norm;
}

/** BERT and MiniLM (Devlin et al. 2019): post-LN, learned positions, token types, bidirectional attention. */
export class BertBackbone implements Backbone {
  readonly causal = false;
  readonly dtype: ComputeDType;
  private readonly words: Tensor;
  private readonly positions: Tensor;
  private readonly types: Tensor;
  private readonly firstType: Tensor;
  private readonly norm: Norm;
  private readonly blocks: BertLayer[];

  constructor(
    readonly config: BertConfig,
    weights: WeightReader,
  ) {
    const { hiddenSize: d, vocabSize, maxPositions, tokenTypes } = config;
    this.dtype = weights.dtype;
    this.words = weights.tensor('embeddings.word_embeddings.weight', [vocabSize, d], this.dtype);
    this.positions = weights.tensor('embeddings.position_embeddings.weight', [maxPositions, d]);
    this.types = weights.tensor('embeddings.token_type_embeddings.weight', [tokenTypes, d]);
    this.firstType = weights.constant(this.types.toArray().slice(0, d), [d]);
    this.norm = readNorm(weights, 'embeddings.LayerNorm', d);
    this.blocks = Array.from({ length: config.layers }, (_, i) => readLayer(weights, config, i));
  }

  get hiddenSize(): number {
    return this.config.hiddenSize;
  }

  get layerCount(): number {
    return this.config.layers;
  }

  linears(): readonly Linear[] {
    return this.blocks.flatMap((block) => [
      block.query,
      block.key,
      block.value,
      block.attentionOutput,
      block.intermediate,
      block.output,
    ]);
  }

  embed(batch: PackedBatch): Tensor {
    checkLengths(batch, this.config.maxPositions);
    return scope(() => {
      const { inputIds, positions, tokenTypes } = batch;
      const words = gatherRows(this.words, inputIds, { dtype: 'f32' });
      const placed = add(words, gatherRows(this.positions, positions));
      const typed = add(placed, tokenTypes ? gatherRows(this.types, tokenTypes) : this.firstType);
      const x = layerNorm(typed, this.norm.weight, this.norm.bias, this.config.layerNormEps);
      return this.dtype === 'f32' ? x : cast(x, this.dtype);
    });
  }

  layers(hidden: Tensor, ctx: ForwardContext, from: number, to: number): Tensor {
    const block = (i: number, x: Tensor) => this.block(this.blocks[i]!, x, ctx);
    return runLayers(hidden, ctx, from, to, block, this.linears());
  }

  final(hidden: Tensor): Tensor {
    return hidden;
  }

  forward(ctx: ForwardContext): Tensor {
    return scope(() => this.layers(this.embed(ctx.batch), ctx, 0, this.layerCount));
  }

  private block(layer: BertLayer, x: Tensor, ctx: ForwardContext): Tensor {
    const { heads, headDim, layerNormEps, activation } = this.config;
    return scope(() => {
      const [q, k, v] = forwardTogether([layer.query, layer.key, layer.value], x, ctx);
      const mixed = attention(q!, k!, v!, ctx.batch.cuSeqlens, {
        heads,
        kvHeads: heads,
        headDim,
        causal: false,
      });
      const norm = (y: Tensor, { weight, bias }: Norm) => layerNorm(y, weight, bias, layerNormEps);
      const sum = layer.attentionOutput.forwardOnto(mixed, x, ctx);
      const attended = norm(sum, layer.attentionNorm);
      const parts = { up: layer.intermediate, down: layer.output };
      return norm(forwardFeedForward(parts, activation, attended, attended, ctx), layer.outputNorm);
    });
  }
}

function readNorm(weights: WeightReader, name: string, d: number): Norm {
  const [weight, bias] = [`${name}.weight`, `${name}.bias`];
  return { weight: weights.tensor(weight, [d]), bias: weights.tensor(bias, [d]) };
}

function readLayer(weights: WeightReader, config: BertConfig, i: number): BertLayer {
  const { hiddenSize: d, intermediateSize: wide } = config;
  const at = `encoder.layer.${i}`;
  const linear = (name: string, out: number, input: number) =>
    weights.linear(`${at}.${name}`, i, [out, input], true);
  return {
    query: linear('attention.self.query', d, d),
    key: linear('attention.self.key', d, d),
    value: linear('attention.self.value', d, d),
    attentionOutput: linear('attention.output.dense', d, d),
    attentionNorm: readNorm(weights, `${at}.attention.output.LayerNorm`, d),
    intermediate: linear('intermediate.dense', wide, d),
    output: linear('output.dense', d, wide),
    outputNorm: readNorm(weights, `${at}.output.LayerNorm`, d),
  };
}

/** Refuses sequences that the positions cannot number. */
export function checkLengths(batch: PackedBatch, maxPositions: number): void {
  const longest = Math.max(0, ...batch.lengths);
  if (longest <= maxPositions) return;
  throw new InputError({
    where: 'batch',
    got: `a sequence of ${longest} tokens`,
    expected: `at most ${maxPositions}, the model's positions`,
    remedy: 'truncate when encoding',
  });
}
