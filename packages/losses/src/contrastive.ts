import {
  add,
  type Backend,
  crossEntropy,
  InputError,
  matmul,
  mean,
  scale,
  ShapeError,
  type Tensor,
  tensor,
} from '@unimoer/core';

/** Logit that removes a candidate: its exponential is 0 beside any cosine over a temperature. */
const REMOVED = -1e30;

export interface InfoNceOptions {
  /** τ > 0. */
  temperature: number;
  /** Added to the scaled scores, `[queries, documents]`: 0 keeps a candidate, -1e30 removes it. */
  mask?: Tensor;
}

/**
 * InfoNCE over all documents of a batch: mean_i −log softmax(s_i/τ)[target_i], s = Q Dᵀ
 * (van den Oord et al. 2018, equation 4, with the batch's positives and mined negatives as candidates).
 *
 * `queries [n, d]` and `documents [m, d]` are L2-normalised f32; `targets` i32 `[n]` holds each query's
 * column. Returns a scalar. The mask is a constant, so removed candidates get no gradient.
 */
export function infoNce(
  queries: Tensor,
  documents: Tensor,
  targets: Tensor,
  options: InfoNceOptions,
): Tensor {
  if (!(options.temperature > 0)) {
    throw new InputError({
      where: 'infoNce temperature',
      got: String(options.temperature),
      expected: 'a number above 0',
      remedy: 'use 0.05 for cosine similarities',
    });
  }
  const scores = scale(matmul(queries, documents, { transposeB: true }), 1 / options.temperature);
  const logits = options.mask ? add(scores, options.mask) : scores;
  return mean(crossEntropy(logits, targets));
}

/**
 * The additive mask of `infoNce` from document identifiers: a candidate is removed for a query when
 * it is relevant to it without being the target, or when it is the target again in another column.
 */
export function falseNegativeMask(
  documentIds: readonly string[],
  targets: readonly number[],
  relevant: readonly ReadonlySet<string>[],
  options: { backend?: Backend } = {},
): Tensor {
  if (targets.length !== relevant.length) {
    throw new ShapeError({
      where: 'falseNegativeMask',
      got: `${targets.length} targets and ${relevant.length} sets of relevant documents`,
      expected: 'as many of each as there are queries',
    });
  }
  const columns = documentIds.length;
  const mask = new Float32Array(targets.length * columns);
  targets.forEach((target, row) => {
    for (let column = 0; column < columns; column++) {
      const id = documentIds[column]!;
      if (column === target) continue;
      if (relevant[row]!.has(id) || id === documentIds[target]) {
        mask[row * columns + column] = REMOVED;
      }
    }
  });
  return tensor(mask, [targets.length, columns], options);
}
