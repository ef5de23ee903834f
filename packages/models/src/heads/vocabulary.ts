import { cast, InputError, matmul, type Tensor } from '@unimoer/core';
import type { DecoderBackbone } from '../backbones/decoder';

/**
 * Next-token logits `[rows, vocabSize]` f32 of final hidden states `[rows, hiddenSize]` through the tied
 * embedding. Throws InputError for a decoder whose output matrix is not tied to its input embedding.
 */
export function vocabularyLogits(backbone: DecoderBackbone, states: Tensor): Tensor {
  if (!backbone.config.tiedEmbeddings) {
    throw new InputError({
      where: 'vocabulary logits',
      got: 'tie_word_embeddings false',
      expected: 'tied embeddings',
      remedy: 'use a checkpoint with tied embeddings',
    });
  }
  const { table } = backbone;
  return cast(matmul(cast(states, table.dtype), table, { transposeB: true }), 'f32');
}
