import {
  type Backend,
  l2Normalize,
  sliceCols,
  sliceRows,
  sub,
  type Tensor,
  tensor,
} from '@unimoer/core';
import {
  binaryCrossEntropy,
  falseNegativeMask,
  groupCrossEntropy,
  infoNce,
  yesNoCrossEntropy,
} from '@unimoer/losses';
import { type Draw, documentText } from './examples';
import type { ArmModel, Pass } from './model';
import type {
  EmbeddingTaskConfig,
  EncodedText,
  RerankingTaskConfig,
  TrainingData,
  TrainTokenizer,
} from './types';

/** Tokenised texts by content, so that every text is tokenised once per run. */
export class TokenCache {
  private readonly texts = new Map<string, EncodedText>();

  constructor(private readonly tokenizer: TrainTokenizer) {}

  text(text: string, maxLength: number, kind: 'query' | 'document'): EncodedText {
    return this.cached(`${kind}/${maxLength}/${text}`, () =>
      this.tokenizer.encode(text, maxLength, kind),
    );
  }

  pair(query: string, document: string, maxLength: number): EncodedText {
    return this.cached(`pair/${maxLength}/${query}\u0000${document}`, () =>
      this.tokenizer.encodePair(query, document, maxLength),
    );
  }

  private cached(key: string, make: () => EncodedText): EncodedText {
    let encoded = this.texts.get(key);
    if (!encoded) {
      encoded = make();
      this.texts.set(key, encoded);
    }
    return encoded;
  }
}

/** What one task contributes to a step. */
export interface TaskLoss {
  /** Unweighted scalar. */
  loss: Tensor;
  pass: Pass;
  /** Lengths of the sequences that went through the model. */
  lengths: number[];
}

/** InfoNCE of queries against all positives and hard negatives of the batch. */
export function embeddingLoss(
  model: ArmModel,
  draws: readonly Draw[],
  data: TrainingData,
  tokens: TokenCache,
  config: EmbeddingTaskConfig,
): TaskLoss {
  const documents = [
    ...draws.map((draw) => draw.positive),
    ...draws.flatMap((draw) => draw.negatives),
  ];
  const texts = [
    ...draws.map(({ query }) => tokens.text(query.text, config.maxLength, 'query')),
    ...documents.map((id) => tokens.text(documentText(data, id), config.maxLength, 'document')),
  ];
  const pass = model.forward(texts, 'embedding', true);
  const vectors = l2Normalize(model.backbone.pool(pass.hidden, pass.ctx.batch));
  const targets = draws.map((_, i) => i);
  const { backend } = model.backbone;
  const loss = infoNce(
    sliceRows(vectors, 0, draws.length),
    sliceRows(vectors, draws.length, texts.length),
    integers(targets, backend),
    {
      temperature: config.temperature,
      mask: falseNegativeMask(
        documents,
        targets,
        draws.map(({ query }) => new Set(query.positives)),
        { backend },
      ),
    },
  );
  return { loss, pass, lengths: texts.map((text) => text.ids.length) };
}

/** Relevance logits of one positive and the negatives of each query, in that order. */
export function rerankingPass(
  model: ArmModel,
  draws: readonly Draw[],
  data: TrainingData,
  tokens: TokenCache,
  maxLength: number,
): { relevance: Tensor; pass: Pass; lengths: number[] } {
  const pairs = draws.flatMap(({ query, positive, negatives }) =>
    [positive, ...negatives].map((id) =>
      tokens.pair(query.text, documentText(data, id), maxLength),
    ),
  );
  const pass = model.forward(pairs, 'reranking', true);
  const lengths = pairs.map((pair) => pair.ids.length);
  return { relevance: model.relevance(pass, pairs), pass, lengths };
}

/** Pointwise or group loss over one positive and the negatives of each query. */
export function rerankingLoss(
  model: ArmModel,
  draws: readonly Draw[],
  data: TrainingData,
  tokens: TokenCache,
  config: RerankingTaskConfig,
): TaskLoss {
  const group = 1 + config.negatives;
  const { relevance, pass, lengths } = rerankingPass(model, draws, data, tokens, config.maxLength);
  const labels = lengths.map((_, i) => (i % group === 0 ? 1 : 0));
  return { loss: relevanceLoss(relevance, labels, group, config.loss), pass, lengths };
}

function relevanceLoss(
  relevance: Tensor,
  labels: number[],
  group: number,
  kind: RerankingTaskConfig['loss'],
): Tensor {
  const { backend, dtype } = relevance;
  if (kind === 'pointwise') {
    return relevance.shape.length === 2
      ? yesNoCrossEntropy(relevance, integers(labels, backend))
      : binaryCrossEntropy(relevance, tensor(labels, [labels.length], { backend, dtype }));
  }
  const queries = labels.length / group;
  return groupCrossEntropy(
    singleLogits(relevance).reshape([queries, group]),
    integers(new Array<number>(queries).fill(0), backend),
  );
}

/** One logit per pair: the head's own, or yes − no. */
export function singleLogits(relevance: Tensor): Tensor {
  if (relevance.shape.length === 1) return relevance;
  const difference = sub(sliceCols(relevance, 1, 2), sliceCols(relevance, 0, 1));
  return difference.reshape([relevance.shape[0]!]);
}

function integers(values: readonly number[], backend: Backend): Tensor {
  return tensor(Int32Array.from(values), [values.length], { dtype: 'i32', backend });
}
