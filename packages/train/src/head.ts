import {
  add,
  type Backend,
  InputError,
  keep,
  l2Normalize,
  matmul,
  mul,
  type Parameter,
  segmentMean,
  sliceCols,
  sum,
  type Tensor,
  tensor,
} from '@unimoer/core';
import type { EncodedText } from './types';

/** Initial weight of the cosine, as a temperature of 0.1 gives it. */
const COSINE_WEIGHT = 10;

/**
 * Relevance logit of a pair encoded as one sequence: wᵀ·pooled + b + c·cos(q̄, d̄), where q̄ and d̄ are the
 * means of the query's and the document's token states. The cosine is what makes a small encoder rank
 * from the first step on.
 */
export class RerankHead {
  private readonly weight: Tensor;
  private readonly bias: Tensor;
  private readonly cosine: Tensor;

  constructor(hiddenSize: number, backend: Backend) {
    const parameter = (values: ArrayLike<number>, shape: number[], name: string) =>
      keep(tensor(values, shape, { backend, requiresGrad: true, name }));
    this.weight = parameter(new Float32Array(hiddenSize), [1, hiddenSize], 'head.weight');
    this.bias = parameter([0], [1], 'head.bias');
    this.cosine = parameter([COSINE_WEIGHT], [1], 'head.cosine');
  }

  parameters(): Parameter[] {
    const group = 'head';
    return [
      { name: 'head.weight', tensor: this.weight, group },
      { name: 'head.bias', tensor: this.bias, group },
      { name: 'head.cosine', tensor: this.cosine, group },
    ];
  }

  /**
   * Logits f32 `[pairs]` from the final states `[tokens, hiddenSize]` and the pooled states `[pairs, hiddenSize]`
   * of a batch of pairs.
   */
  logits(hidden: Tensor, pooled: Tensor, pairs: readonly EncodedText[]): Tensor {
    const [n, width] = [pairs.length, this.weight.size];
    const linear = matmul(pooled, this.weight, { transposeB: true }).reshape([n]);
    const means = segmentMean(hidden, queryDocumentBounds(pairs, hidden.backend));
    const sides = means.reshape([n, 2 * width]);
    const query = l2Normalize(sliceCols(sides, 0, width));
    const document = l2Normalize(sliceCols(sides, width, 2 * width));
    const cosine = sum(mul(query, document), { axis: -1 });
    return add(add(linear, mul(cosine, this.cosine)), this.bias);
  }

  /** Moves the bias so that logits with this mean get the log-odds of `rate`, the share of positives. */
  center(meanLogit: number, rate: number): void {
    this.bias.set([this.bias.item() - meanLogit + Math.log(rate / (1 - rate))]);
  }

  dispose(): void {
    for (const { tensor: t } of this.parameters()) t.dispose();
  }
}

/** Bounds of two segments per pair: the query's tokens, then the document's. */
function queryDocumentBounds(pairs: readonly EncodedText[], backend: Backend): Tensor {
  const bounds = [0];
  let at = 0;
  for (const pair of pairs) {
    const { queryTokens, ids } = pair;
    if (queryTokens === undefined || queryTokens < 1 || queryTokens >= ids.length) {
      throw new InputError({
        where: 'reranking pair',
        got: `${queryTokens ?? 'unknown'} query tokens of ${ids.length}`,
        expected: 'at least one token on either side',
        remedy: 'raise the maximum length',
      });
    }
    bounds.push(at + queryTokens, at + ids.length);
    at += ids.length;
  }
  return tensor(Int32Array.from(bounds), [bounds.length], { dtype: 'i32', backend });
}
