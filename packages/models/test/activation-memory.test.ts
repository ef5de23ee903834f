import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  adaptedLinear,
  disposeBatch,
  ForwardContext,
  getBackend,
  type Linear,
  type LinearAdapter,
  packBatch,
  scope,
  setDefaultBackend,
  type TensorSource,
  tensor,
} from '@unimoer/core';
import { afterAll, expect, it } from 'vitest';
import type { Backbone } from '../src/backbones/backbone';
import { BertBackbone } from '../src/backbones/bert';
import { DecoderBackbone } from '../src/backbones/decoder';
import { parseBertConfig, parseDecoderConfig } from '../src/config/backbone';
import { Fields } from '../src/json-file';
import { WeightReader } from '../src/weights';
import { fixture, root } from './fixtures';

// The reference backend counts the bytes that tensors have; the native one rounds buffers up.
const backend = getBackend('reference');
const native = getBackend();
setDefaultBackend(backend);
afterAll(() => setDefaultBackend(native));

/** Shapes of one layer: `prefix.name` -> shape. */
type Shapes = Record<string, number[]>;

const bert = (d: number, wide: number): { layer: Shapes; rest: Shapes } => {
  const linear = (name: string, out: number, input: number): Shapes => ({
    [`${name}.weight`]: [out, input],
    [`${name}.bias`]: [out],
  });
  const norm = (name: string): Shapes => ({ [`${name}.weight`]: [d], [`${name}.bias`]: [d] });
  return {
    layer: {
      ...linear('attention.self.query', d, d),
      ...linear('attention.self.key', d, d),
      ...linear('attention.self.value', d, d),
      ...linear('attention.output.dense', d, d),
      ...norm('attention.output.LayerNorm'),
      ...linear('intermediate.dense', wide, d),
      ...linear('output.dense', d, wide),
      ...norm('output.LayerNorm'),
    },
    rest: {
      'embeddings.word_embeddings.weight': [65, d],
      'embeddings.position_embeddings.weight': [64, d],
      'embeddings.token_type_embeddings.weight': [2, d],
      ...norm('embeddings.LayerNorm'),
    },
  };
};

const qwen = (d: number, wide: number, q: number, kv: number, head: number) => ({
  layer: {
    'input_layernorm.weight': [d],
    'self_attn.q_proj.weight': [q, d],
    'self_attn.k_proj.weight': [kv, d],
    'self_attn.v_proj.weight': [kv, d],
    'self_attn.o_proj.weight': [d, q],
    'self_attn.q_norm.weight': [head],
    'self_attn.k_norm.weight': [head],
    'post_attention_layernorm.weight': [d],
    'mlp.gate_proj.weight': [wide, d],
    'mlp.up_proj.weight': [wide, d],
    'mlp.down_proj.weight': [d, wide],
  } as Shapes,
  rest: { 'embed_tokens.weight': [320, d], 'norm.weight': [d] } as Shapes,
});

/** Weights of a model with one layer, all zero. */
function zeros(at: string, { layer, rest }: { layer: Shapes; rest: Shapes }): TensorSource {
  const shapes = new Map(Object.entries(rest));
  for (const [name, shape] of Object.entries(layer)) shapes.set(`${at}.0.${name}`, shape);
  return {
    names: () => [...shapes.keys()],
    info: (name) => ({ dtype: 'F32', shape: shapes.get(name)! }),
    read: (name) => new Float32Array(shapes.get(name)!.reduce((a, b) => a * b, 1)),
    close: () => undefined,
  } as TensorSource;
}

function fields(name: string, changes: Record<string, unknown>): Fields {
  const file = fixture(name, 'config.json');
  return new Fields(file, { ...JSON.parse(readFileSync(file, 'utf8')), ...changes });
}

function build(name: string): { backbone: Backbone; reader: WeightReader } {
  const open = (source: TensorSource) => new WeightReader(name, source, [], 'bf16', backend, true);
  if (name === 'MiniLM') {
    const size = { hidden_size: 384, num_attention_heads: 12, intermediate_size: 1536 };
    const reader = open(zeros('encoder.layer', bert(384, 1536)));
    const config = fields('tiny-bert', { ...size, num_hidden_layers: 1 });
    return { backbone: new BertBackbone(parseBertConfig(config), reader), reader };
  }
  const size = {
    hidden_size: 1024,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    head_dim: 128,
    intermediate_size: 3072,
    num_hidden_layers: 1,
    layer_types: ['full_attention'],
  };
  const reader = open(zeros('layers', qwen(1024, 3072, 2048, 1024, 128)));
  const config = fields('tiny-qwen3', { ...size, num_hidden_layers: 1 });
  return { backbone: new DecoderBackbone(parseDecoderConfig(config, 'qwen3'), reader), reader };
}

/** LoRA of rank 8. */
function lora(linear: Linear): LinearAdapter {
  const { inFeatures, outFeatures } = linear.weight;
  const parameter = (shape: [number, number]) =>
    tensor(new Float32Array(shape[0] * shape[1]), shape, { backend, requiresGrad: true });
  const pair = {
    A: parameter([8, inFeatures]),
    B: parameter([outFeatures, 8]),
    rankScale: tensor(new Float32Array(8), [8], { backend }),
  };
  return {
    forward: (x, base) => adaptedLinear(x, base.weight, base.bias, pair),
    lowRank: () => pair,
    parameters: () => [],
  };
}

/** Bytes that a layer leaves behind its forward pass, beyond an input that wants a gradient. */
function kept(backbone: Backbone, tokens: number, gradientCheckpointing: boolean): number {
  const batch = packBatch([Array<number>(tokens).fill(5)], { backend });
  const bytes = scope(() => {
    const hidden = backbone.embed(batch);
    hidden.requiresGrad = true;
    const before = backend.memory().liveBytes;
    const ctx = new ForwardContext(batch, { training: true, gradientCheckpointing });
    backbone.layers(hidden, ctx, 0, 1);
    return backend.memory().liveBytes - before;
  });
  disposeBatch(batch);
  return bytes;
}

/** Bytes per token of a layer with LoRA on every linear, without and with checkpointing. */
function perLayer(name: string): number[] {
  const { backbone, reader } = build(name);
  for (const linear of backbone.linears()) linear.adapter = lora(linear);
  const bytes = [false, true].map((again) => kept(backbone, 2, again) - kept(backbone, 1, again));
  reader.dispose();
  return bytes;
}

it.each(['MiniLM', 'Qwen3-0.6B'])(
  'the page on memory has the bytes of a %s layer',
  (name) => {
    const page = readFileSync(join(root, 'docs/design/0040-activation-memory.md'), 'utf8');
    const row = page.split('\n').find((line) => line.startsWith(`| ${name} `));
    const written = [...(row ?? '').matchAll(/\d[\d,]*(?= *(?:\||$))/g)].map(([n]) =>
      Number(n.replaceAll(',', '')),
    );
    expect(written).toEqual(perLayer(name));
  },
  60_000,
);
