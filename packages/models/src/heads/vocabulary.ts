import { cast, InputError, matmul, type Tensor } from '@unimoer/core';
import type { DecoderBackbone } from '../backbones/decoder';

/**
 * Next-token logits `[rows, vocabSize]` f32 of final hidden states `[rows, hiddenSize]`. Throws InputError where
 * the folder stores an output matrix and the model was loaded without `languageHead`.
 */
export function vocabularyLogits(backbone: DecoderBackbone, states: Tensor): Tensor {
  const { outputTable } = backbone;
  if (!outputTable) {
    throw new InputError({
      where: 'vocabulary logits',
      got: 'a decoder without its output matrix',
      expected: 'tied embeddings or a loaded lm_head',
      remedy: 'load the model with languageHead: true',
    });
  }
  return cast(matmul(cast(states, outputTable.dtype), outputTable, { transposeB: true }), 'f32');
}
