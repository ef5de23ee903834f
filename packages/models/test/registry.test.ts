import { type ForwardContext, gatherRows, type PackedBatch } from '@unimoer/core';
import {
  type Backbone,
  type BackboneFactory,
  backboneNames,
  type CustomConfig,
  loadModel,
  registerBackbone,
  runLayers,
} from '@unimoer/models';
import { afterAll, expect, test } from 'vitest';
import { fixture, variant } from './fixtures';

const made: { dispose(): void }[] = [];
afterAll(() => {
  for (const model of made) model.dispose();
});

/** One linear per layer over tiny-bert's word vectors. */
const linearFamily =
  (modelType: string, causal: boolean): BackboneFactory =>
  (fields) => {
    const config: CustomConfig = {
      family: 'custom',
      modelType,
      architecture: null,
      hiddenSize: fields.integer('hidden_size'),
      layers: 2,
      vocabSize: fields.integer('vocab_size'),
      maxPositions: fields.integer('max_position_embeddings'),
      causal,
    };
    const { hiddenSize: d } = config;
    return {
      config,
      prefixes: ['bert.'],
      build(weights): Backbone {
        const words = weights.tensor('embeddings.word_embeddings.weight', [config.vocabSize, d]);
        const linears = [0, 1].map((i) =>
          weights.linear(`encoder.layer.${i}.attention.self.query`, i, [d, d], true),
        );
        const embed = (batch: PackedBatch) => gatherRows(words, batch.inputIds);
        const backbone: Backbone = {
          config,
          dtype: weights.dtype,
          hiddenSize: d,
          layerCount: 2,
          causal,
          linears: () => linears,
          embed,
          layers: (hidden, ctx, from, to) =>
            runLayers(hidden, ctx, from, to, (i, x) => linears[i]!.forward(x, ctx)),
          final: (hidden) => hidden,
          forward: (ctx: ForwardContext) => backbone.layers(embed(ctx.batch), ctx, 0, 2),
        };
        return backbone;
      },
    };
  };

const folder = (modelType: string) =>
  variant(fixture('tiny-bert'), { 'config.json': (old) => ({ ...old, model_type: modelType }) });

test('a registered family loads, embeds and names its linears', async () => {
  registerBackbone('linear-mean', linearFamily('linear-mean', false));
  expect(backboneNames()).toContain('linear-mean');
  const model = loadModel(folder('linear-mean'));
  made.push(model);
  expect(model.pooling.mode).toBe('mean');
  expect([...model.linears().keys()]).toEqual([
    'encoder.layer.0.attention.self.query',
    'encoder.layer.1.attention.self.query',
  ]);
  const { vectors, dim } = await model.embed(['hello world']);
  expect(dim).toBe(model.backbone.hiddenSize);
  const norm = Math.hypot(...vectors);
  expect(norm).toBeCloseTo(1, 5);
  await expect(model.score([['a', 'b']])).rejects.toThrow(/without a reranking head/);
});

test('a causal family pools the last token and refuses the first', () => {
  registerBackbone('linear-last', linearFamily('linear-last', true));
  const model = loadModel(folder('linear-last'));
  made.push(model);
  expect(model.pooling.mode).toBe('last');
  expect(() => loadModel(folder('linear-last'), { pooling: 'cls' })).toThrow(/causal decoder/);
});

test('a taken name and an unknown one list what is registered', () => {
  expect(() => registerBackbone('bert', linearFamily('bert', false))).toThrow(
    /got the name bert, which is taken, expected a new name; names in use are bert, /,
  );
  expect(() => loadModel(folder('rwkv'))).toThrow(
    /model_type: got "rwkv", expected one of bert, .*llama, mistral, qwen2, qwen3; .*registerBackbone/,
  );
});
