import type { ForwardContext, Linear, PackedBatch, Task, Tensor } from '@unimoer/core';
import type { Model } from './model';
import { pool } from './pooling';
import type { TextTask } from './run-options';
import type { Encoded } from './tokenizer';
import type { ComputeDType } from './weights';

/** Token ids of one text or pair; `queryTokens` counts the leading tokens of a pair's query. */
export interface EncodedForTraining {
  ids: readonly number[];
  types?: readonly number[];
  queryTokens?: number;
}

/** A model's backbone as a trainer uses it: plain functions over the packed layout. */
export interface TrainingView {
  backbone: {
    readonly fingerprint: string;
    readonly hiddenSize: number;
    readonly layers: number;
    readonly dtype: ComputeDType;
    /** The longest sequence, special tokens included. */
    readonly maxLength: number;
    linears(): readonly Linear[];
    embedTokens(batch: PackedBatch, ctx: ForwardContext): Tensor;
    /** Layers `from … to − 1`; with the last layer, the final norm too. */
    runLayers(hidden: Tensor, ctx: ForwardContext, from: number, to: number): Tensor;
    /** f32 `[sequences, hiddenSize]`, not normalised. */
    pool(hidden: Tensor, batch: PackedBatch): Tensor;
    pack(sequences: readonly EncodedForTraining[], tasks?: readonly Task[]): PackedBatch;
  };
  tokenizer: {
    encode(text: string, maxLength: number, kind: TextTask): EncodedForTraining;
    encodePair(query: string, document: string, maxLength: number): EncodedForTraining;
  };
}

/** The parts of a model that training needs. Load the model with `forBackward`. */
export function trainingView(model: Model): TrainingView {
  const { backbone } = model;
  const withQuery = ({ ids, types, firstTokens }: Encoded): EncodedForTraining => {
    return { ids, types, queryTokens: firstTokens };
  };
  return {
    backbone: {
      get fingerprint() {
        return model.fingerprint;
      },
      hiddenSize: backbone.hiddenSize,
      layers: backbone.layerCount,
      dtype: backbone.dtype,
      maxLength: backbone.config.maxPositions,
      linears: () => backbone.linears(),
      embedTokens: (batch) => backbone.embed(batch),
      runLayers(hidden, ctx, from, to) {
        const last = backbone.layers(hidden, ctx, from, to);
        return to === backbone.layerCount ? backbone.final(last) : last;
      },
      pool: (hidden, batch) => pool(hidden, batch, model.pooling.mode),
      pack: (sequences, tasks) => model.pack(sequences, tasks ? [...tasks] : undefined),
    },
    tokenizer: {
      encode(text, maxLength, kind) {
        const { ids, types } = model.encodeText(text, maxLength, kind);
        return { ids, types };
      },
      encodePair: (query, document, maxLength) =>
        withQuery(model.encodePair(query, document, maxLength)),
    },
  };
}
