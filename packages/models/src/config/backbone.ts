import { InputError } from '@unimoer/core';
import type { Fields } from '../json-file';
import { inverseFrequencies } from './rope';

interface SharedConfig {
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  headDim: number;
  vocabSize: number;
  /** Longest sequence the positions allow. */
  maxPositions: number;
  architecture: string | null;
  /** Number of outputs of a classification head, where the configuration has labels. */
  labels: number | null;
}

/** Post-LN bidirectional encoder with learned positions and token types. */
export interface BertConfig extends SharedConfig {
  family: 'bert';
  tokenTypes: number;
  activation: 'gelu' | 'gelu_tanh' | 'relu';
  layerNormEps: number;
}

/** Pre-norm causal decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU. */
export interface DecoderConfig extends SharedConfig {
  family: 'decoder';
  modelType: string;
  kvHeads: number;
  /** RMSNorm on each query and key head before rotation (Qwen3). */
  qkNorm: boolean;
  qkvBias: boolean;
  outputBias: boolean;
  mlpBias: boolean;
  rmsNormEps: number;
  inverseFrequencies: Float32Array;
  tiedEmbeddings: boolean;
  /** Positions were cut to the sliding window, within which full and windowed attention are equal. */
  windowed: boolean;
}

/** What the loader asks of a family that `registerBackbone` added. */
export interface CustomConfig
  extends Pick<SharedConfig, 'hiddenSize' | 'layers' | 'vocabSize' | 'maxPositions'> {
  family: 'custom';
  modelType: string;
  architecture: string | null;
  /** Pools the last token unless the folder says otherwise; other families take the mean. */
  causal: boolean;
}

export type BackboneConfig = BertConfig | DecoderConfig | CustomConfig;

const BERT_ACTIVATIONS: Readonly<Record<string, BertConfig['activation']>> = {
  gelu: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  relu: 'relu',
};

/** What each supported decoder type adds to the common block. */
const DECODERS: Readonly<Record<string, { qkNorm: boolean; qkvBias: boolean }>> = {
  qwen3: { qkNorm: true, qkvBias: false },
  qwen2: { qkNorm: false, qkvBias: true },
  llama: { qkNorm: false, qkvBias: false },
  mistral: { qkNorm: false, qkvBias: false },
};

export const DECODER_TYPES: readonly string[] = Object.keys(DECODERS);

function shared(config: Fields): Omit<SharedConfig, 'headDim'> {
  return {
    hiddenSize: config.integer('hidden_size'),
    intermediateSize: config.integer('intermediate_size'),
    layers: config.integer('num_hidden_layers'),
    heads: config.integer('num_attention_heads'),
    vocabSize: config.integer('vocab_size'),
    maxPositions: config.integer('max_position_embeddings'),
    architecture: config.strings('architectures')[0] ?? null,
    labels: labelCount(config),
  };
}

function labelCount(config: Fields): number | null {
  const labels = config.object('id2label');
  if (config.has('num_labels')) return config.integer('num_labels');
  const names = labels ? config.raw('id2label') : null;
  return names ? Object.keys(names as object).length : null;
}

function evenHeads(config: Fields, hidden: number, heads: number): number {
  if (hidden % heads !== 0) {
    throw config.fail('num_attention_heads', `a divisor of hidden_size ${hidden}`);
  }
  return hidden / heads;
}

/** Reads `config.json` of BERT. Throws InputError naming file and field. */
export function parseBertConfig(config: Fields): BertConfig {
  const base = shared(config);
  const activation = BERT_ACTIVATIONS[config.string('hidden_act', 'gelu')];
  if (!activation) throw config.fail('hidden_act', Object.keys(BERT_ACTIVATIONS).join(', '));
  if (config.string('position_embedding_type', 'absolute') !== 'absolute') {
    throw config.fail(
      'position_embedding_type',
      'absolute',
      'relative positions are not supported',
    );
  }
  if (config.boolean('is_decoder', false)) {
    throw config.fail('is_decoder', 'false', 'use the model as an encoder');
  }
  return {
    ...base,
    family: 'bert',
    headDim: evenHeads(config, base.hiddenSize, base.heads),
    tokenTypes: config.integer('type_vocab_size', 2),
    activation,
    layerNormEps: config.positive('layer_norm_eps', 1e-12),
  };
}

/** Reads `config.json` of one of DECODER_TYPES. Throws InputError naming file and field. */
export function parseDecoderConfig(config: Fields, modelType: string): DecoderConfig {
  const base = shared(config);
  const traits = DECODERS[modelType]!;
  const headDim = config.has('head_dim')
    ? config.integer('head_dim')
    : evenHeads(config, base.hiddenSize, base.heads);
  if (headDim % 2 !== 0) throw config.fail('head_dim', 'an even number, as rotation needs');
  const kvHeads = config.integer('num_key_value_heads', base.heads);
  if (base.heads % kvHeads !== 0) {
    throw config.fail('num_key_value_heads', `a divisor of num_attention_heads ${base.heads}`);
  }
  if (config.string('hidden_act', 'silu') !== 'silu') throw config.fail('hidden_act', 'silu');
  const attentionBias = config.boolean('attention_bias', false);
  const window = slidingWindow(config, modelType);
  return {
    ...base,
    family: 'decoder',
    modelType,
    headDim,
    maxPositions: Math.min(base.maxPositions, window ?? base.maxPositions),
    windowed: window !== null && window < base.maxPositions,
    kvHeads,
    qkNorm: traits.qkNorm,
    qkvBias: traits.qkvBias || attentionBias,
    outputBias: attentionBias,
    mlpBias: config.boolean('mlp_bias', false),
    rmsNormEps: config.positive('rms_norm_eps', 1e-6),
    inverseFrequencies: inverseFrequencies(config, headDim),
    tiedEmbeddings: config.boolean('tie_word_embeddings', false),
  };
}

function slidingWindow(config: Fields, modelType: string): number | null {
  if (!config.has('sliding_window')) return null;
  const used = config.boolean('use_sliding_window', modelType === 'mistral');
  return used ? config.integer('sliding_window') : null;
}

/** Refuses a tokeniser whose ids do not fit the embedding table. */
export function checkVocabulary(config: BackboneConfig, largestId: number, file: string): void {
  if (largestId < config.vocabSize) return;
  throw new InputError({
    where: file,
    got: `token id ${largestId}`,
    expected: `ids below vocab_size ${config.vocabSize}`,
    remedy: 'use the tokenizer.json that belongs to the weights',
  });
}
