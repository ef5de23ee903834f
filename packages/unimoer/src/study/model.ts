import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { disposeBatch, ForwardContext, noGrad, readSafetensors, scope } from '@unimoer/core';
import { loadModel, type Model } from '@unimoer/models';
import {
  type EncodedText,
  type TrainableBackbone,
  type TrainTokenizer,
  trainingModel,
} from '@unimoer/train';
import type { LoadedBackbone } from './cell.js';
import type { MeasureLength } from './estimate.js';
import { RecentFeatureStore } from './feature-store.js';

/** What is known of a backbone without its weights in memory. */
export interface BackboneFacts {
  parameters: number;
  layers: number;
  dim: number;
  /** Weights of the linears of one layer, and the sum of their input and output widths. */
  linearParameters: number;
  linearWidth: number;
  /** Hash of configuration and weights. */
  hash: string;
  warnings: string[];
}

/** Reads a model once: this checks folder, configuration and weights before a study begins. */
export function readFacts(name: string, from: string, dtype: 'f32' | 'bf16'): BackboneFacts {
  const model = loadModel(name, { from, dtype });
  try {
    const { backbone } = model;
    const first = backbone.linears().filter((linear) => linear.layer === 0);
    const sum = (of: (inputs: number, outputs: number) => number) =>
      first.reduce((total, { weight }) => total + of(weight.inFeatures, weight.outFeatures), 0);
    return {
      parameters: countParameters(model),
      layers: backbone.layerCount,
      dim: backbone.hiddenSize,
      linearParameters: sum((inputs, outputs) => inputs * outputs),
      linearWidth: sum((inputs, outputs) => inputs + outputs),
      hash: model.fingerprint,
      warnings: model.warnings.map((warning) => warning.replaceAll(`${model.folder}/`, '')),
    };
  } finally {
    model.dispose();
  }
}

function countParameters({ folder }: Model): number {
  let total = 0;
  for (const name of readdirSync(folder)) {
    if (!name.endsWith('.safetensors') || name.startsWith('adapter_')) continue;
    const file = readSafetensors(join(folder, name));
    for (const tensor of file.names()) {
      if (tensor.endsWith('position_ids')) continue;
      total += file.info(tensor).shape.reduce((a, b) => a * b, 1);
    }
    file.close();
  }
  return total;
}

/** Keeps token ids: every cell of a study reads the same texts. Counts the texts that were cut. */
class CachedTokenizer implements TrainTokenizer {
  private readonly known = new Map<string, { text: EncodedText; truncated: boolean }>();
  private cut = new Map<string, Set<string>>();

  constructor(private readonly model: Model) {}

  encode(text: string, maxLength: number, kind: 'query' | 'document'): EncodedText {
    const what = `${kind === 'query' ? 'queries' : 'documents'} longer than ${maxLength} tokens`;
    return this.lookUp(what, text, () => this.model.encodeText(text, maxLength, kind));
  }

  encodePair(query: string, document: string, maxLength: number): EncodedText {
    const what = `pairs longer than ${maxLength} tokens`;
    return this.lookUp(what, `${query}\0${document}`, () => {
      const encoded = this.model.encodePair(query, document, maxLength);
      return { ...encoded, queryTokens: encoded.firstTokens };
    });
  }

  /** Counted warnings since the last call. */
  takeWarnings(): string[] {
    const warnings = [...this.cut].map(([what, texts]) => `${texts.size} ${what} were cut`).sort();
    this.cut = new Map();
    return warnings;
  }

  private lookUp(
    what: string,
    key: string,
    encode: () => EncodedText & { truncated: boolean },
  ): EncodedText {
    const name = `${what}\0${key}`;
    let found = this.known.get(name);
    if (!found) {
      const { ids, types, queryTokens, truncated } = encode();
      found = { text: { ids, types, queryTokens }, truncated };
      this.known.set(name, found);
    }
    if (found.truncated) {
      const texts = this.cut.get(what) ?? new Set();
      this.cut.set(what, texts.add(key));
    }
    return found.text;
  }
}

/** Loads a backbone for training, with the caches that the cells of a process share. */
export function loadBackbone(name: string, from: string, dtype: 'f32' | 'bf16'): LoadedBackbone {
  const model = loadModel(name, { from, dtype, forBackward: true });
  const tokenizer = new CachedTokenizer(model);
  return {
    backbone: trainingModel(model).backbone,
    tokenizer,
    cache: new RecentFeatureStore(),
    takeWarnings: () => tokenizer.takeWarnings(),
  };
}

/** Mean length in tokens by the model's own tokeniser. */
export function lengthFromTokenizer(tokenizer: TrainTokenizer): MeasureLength {
  return (texts, maxLength) => {
    const lengths = texts.map((text) => tokenizer.encode(text, maxLength, 'document').ids.length);
    return lengths.reduce((a, b) => a + b, 0) / Math.max(1, lengths.length);
  };
}

/** Floating-point operations per second of a forward pass here: the median of a few short runs. */
export function measureThroughput(backbone: TrainableBackbone, facts: BackboneFacts): number {
  const length = Math.min(96, backbone.maxLength);
  const sequences = Array.from({ length: 16 }, () => ({
    ids: Array.from({ length }, (_, i) => i + 1),
  }));
  const tokens = sequences.length * length;
  const flops = tokens * facts.layers * (2 * facts.linearParameters + 4 * length * facts.dim);
  const times: number[] = [];
  const begin = performance.now();
  while (times.length < 5 && (times.length === 0 || performance.now() - begin < 2000)) {
    const start = performance.now();
    noGrad(() =>
      scope(() => {
        const batch = backbone.pack(
          sequences,
          sequences.map(() => 'embedding' as const),
        );
        const ctx = new ForwardContext(batch);
        backbone.runLayers(backbone.embedTokens(batch, ctx), ctx, 0, backbone.layers).toArray();
        disposeBatch(batch);
      }),
    );
    times.push((performance.now() - start) / 1000);
  }
  return flops / times.sort((a, b) => a - b)[times.length >> 1]!;
}
