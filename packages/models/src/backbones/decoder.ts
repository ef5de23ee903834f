import {
  attention,
  type ForwardContext,
  forwardFeedForward,
  forwardTogether,
  gatherRows,
  type Linear,
  type PackedBatch,
  rmsNorm,
  rmsNormRope,
  rope,
  scope,
  type Tensor,
} from '@unimoer/core';
import type { DecoderConfig } from '../config/backbone';
import type { ComputeDType, WeightReader } from '../weights';
import { type Backbone, runLayers } from './backbone';
import { checkLengths } from './bert';

/** Name of a stored output matrix. */
export const LM_HEAD = 'lm_head.weight';

interface DecoderLayer {
  inputNorm: Tensor;
  q: Linear;
  k: Linear;
  v: Linear;
  o: Linear;
  qNorm: Tensor | null;
  kNorm: Tensor | null;
  postNorm: Tensor;
  gate: Linear;
  up: Linear;
  down: Linear;
}

/**
 * Qwen3, and the Llama, Mistral and Qwen2 block, which is the same without the per-head norms of queries and
 * keys: pre-norm RMSNorm, rotary positions (half-split layout), causal grouped-query attention, SwiGLU.
 */
export class DecoderBackbone implements Backbone {
  readonly causal = true;
  readonly dtype: ComputeDType;
  /** Token embeddings `[vocabSize, hiddenSize]` in the compute dtype. */
  readonly table: Tensor;
  /** Output embeddings `[vocabSize, hiddenSize]`: the table where tied; a stored lm_head only on request. */
  readonly outputTable: Tensor | null;
  private readonly frequencies: Tensor;
  private readonly norm: Tensor;
  private readonly blocks: DecoderLayer[];

  constructor(
    readonly config: DecoderConfig,
    weights: WeightReader,
    languageHead = false,
  ) {
    const { hiddenSize: d, vocabSize, inverseFrequencies } = config;
    this.dtype = weights.dtype;
    this.table = weights.tensor('embed_tokens.weight', [vocabSize, d], this.dtype);
    this.outputTable = this.readOutput(weights, languageHead);
    this.frequencies = weights.constant(inverseFrequencies, [inverseFrequencies.length]);
    this.norm = weights.tensor('norm.weight', [d]);
    this.blocks = Array.from({ length: config.layers }, (_, i) => readLayer(weights, config, i));
  }

  get hiddenSize(): number {
    return this.config.hiddenSize;
  }

  get layerCount(): number {
    return this.config.layers;
  }

  linears(): readonly Linear[] {
    return this.blocks.flatMap(({ q, k, v, o, gate, up, down }) => [q, k, v, o, gate, up, down]);
  }

  embed(batch: PackedBatch): Tensor {
    checkLengths(batch, this.config.maxPositions);
    return gatherRows(this.table, batch.inputIds, { dtype: this.dtype });
  }

  layers(hidden: Tensor, ctx: ForwardContext, from: number, to: number): Tensor {
    const block = (i: number, x: Tensor) => this.block(this.blocks[i]!, x, ctx);
    return runLayers(hidden, ctx, from, to, block, this.linears());
  }

  final(hidden: Tensor): Tensor {
    return rmsNorm(hidden, this.norm, this.config.rmsNormEps);
  }

  forward(ctx: ForwardContext): Tensor {
    return scope(() => this.final(this.layers(this.embed(ctx.batch), ctx, 0, this.layerCount)));
  }

  /** A stored lm_head wins over `tie_word_embeddings`, as in transformers: some folders claim a tie they lack. */
  private readOutput(weights: WeightReader, wanted: boolean): Tensor | null {
    const { tiedEmbeddings, vocabSize, hiddenSize } = this.config;
    if (!weights.has(LM_HEAD)) return tiedEmbeddings ? this.table : null;
    weights.ignore(LM_HEAD);
    return wanted ? weights.tensor(LM_HEAD, [vocabSize, hiddenSize], this.dtype) : null;
  }

  private block(layer: DecoderLayer, x: Tensor, ctx: ForwardContext): Tensor {
    const { heads, kvHeads, headDim, rmsNormEps: eps } = this.config;
    const { positions, cuSeqlens } = ctx.batch;
    return scope(() => {
      const h = rmsNorm(x, layer.inputNorm, eps);
      const rotate = (y: Tensor, norm: Tensor | null, count: number) => {
        const layout = { heads: count, headDim };
        return norm
          ? rmsNormRope(y, norm, eps, positions, this.frequencies, layout)
          : rope(y, positions, this.frequencies, layout);
      };
      const [queries, keys, v] = forwardTogether([layer.q, layer.k, layer.v], h, ctx);
      const q = rotate(queries!, layer.qNorm, heads);
      const k = rotate(keys!, layer.kNorm, kvHeads);
      const mixed = attention(q, k, v!, cuSeqlens, { heads, kvHeads, headDim, causal: true });
      const sum = layer.o.forwardOnto(mixed, x, ctx);
      return forwardFeedForward(layer, 'swiglu', rmsNorm(sum, layer.postNorm, eps), sum, ctx);
    });
  }
}

function readLayer(weights: WeightReader, config: DecoderConfig, i: number): DecoderLayer {
  const { hiddenSize: d, intermediateSize: wide, heads, kvHeads, headDim } = config;
  const at = `layers.${i}`;
  const linear = (name: string, out: number, input: number, bias: boolean) =>
    weights.linear(`${at}.${name}`, i, [out, input], bias);
  const norm = (name: string, size: number) => weights.tensor(`${at}.${name}.weight`, [size]);
  return {
    inputNorm: norm('input_layernorm', d),
    q: linear('self_attn.q_proj', heads * headDim, d, config.qkvBias),
    k: linear('self_attn.k_proj', kvHeads * headDim, d, config.qkvBias),
    v: linear('self_attn.v_proj', kvHeads * headDim, d, config.qkvBias),
    o: linear('self_attn.o_proj', d, heads * headDim, config.outputBias),
    qNorm: config.qkNorm ? norm('self_attn.q_norm', headDim) : null,
    kNorm: config.qkNorm ? norm('self_attn.k_norm', headDim) : null,
    postNorm: norm('post_attention_layernorm', d),
    gate: linear('mlp.gate_proj', wide, d, config.mlpBias),
    up: linear('mlp.up_proj', wide, d, config.mlpBias),
    down: linear('mlp.down_proj', d, wide, config.mlpBias),
  };
}
