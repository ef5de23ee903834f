import { add, matmul, type PackedBatch, sliceCols, sub, type Tensor, tanh } from '@unimoer/core';
import type { PoolingMode } from '../config/sentence-transformers';
import { pool } from '../pooling';
import type { Encoded } from '../tokenizer';
import type { WeightReader } from '../weights';

/** A read-out that turns final hidden states `[tokens, hiddenSize]` into one relevance logit per sequence. */
export interface RerankHead {
  /** f32 `[sequences]`; `pairs` are the encoded pairs of the batch, in its order. */
  logits(hidden: Tensor, batch: PackedBatch, pairs: readonly Encoded[]): Tensor;
}

/** `*ForSequenceClassification` with one label: pooled state, BERT's tanh pooler where present, linear map. */
export class ClassifierHead implements RerankHead {
  private readonly dense: { weight: Tensor; bias: Tensor } | null;
  private readonly weight: Tensor;
  private readonly bias: Tensor | null;

  constructor(
    weights: WeightReader,
    hiddenSize: number,
    private readonly pooling: PoolingMode,
    names: { output: string; pooler: string | null },
  ) {
    const d = hiddenSize;
    this.dense = names.pooler
      ? {
          weight: weights.tensor(`${names.pooler}.weight`, [d, d]),
          bias: weights.tensor(`${names.pooler}.bias`, [d]),
        }
      : null;
    this.weight = weights.tensor(`${names.output}.weight`, [1, d]);
    const bias = `${names.output}.bias`;
    this.bias = weights.has(bias) ? weights.tensor(bias, [1]) : null;
  }

  logits(hidden: Tensor, batch: PackedBatch): Tensor {
    let x = pool(hidden, batch, this.pooling);
    if (this.dense) {
      x = tanh(add(matmul(x, this.dense.weight, { transposeB: true }), this.dense.bias));
    }
    const y = matmul(x, this.weight, { transposeB: true });
    return (this.bias ? add(y, this.bias) : y).reshape([batch.sequences]);
  }
}

/** Yes/no read-out of a causal decoder at the last position: ℓ_yes − ℓ_no, whose sigmoid is P(yes). */
export class YesNoHead implements RerankHead {
  /** `rows` f32 `[2, hiddenSize]`: the output embeddings of "no" and "yes". */
  constructor(private readonly rows: Tensor) {}

  /** f32 `[sequences, 2]`: logits of no and yes, for a two-way cross entropy. */
  pairLogits(hidden: Tensor, batch: PackedBatch): Tensor {
    return matmul(pool(hidden, batch, 'last'), this.rows, { transposeB: true });
  }

  logits(hidden: Tensor, batch: PackedBatch): Tensor {
    const pair = this.pairLogits(hidden, batch);
    return sub(sliceCols(pair, 1, 2), sliceCols(pair, 0, 1)).reshape([batch.sequences]);
  }
}
