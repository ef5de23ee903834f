import {
  type Backend,
  type ContrastiveOptions,
  contrastive,
  mean,
  ShapeError,
  type Tensor,
  tensor,
} from '@unimoer/core';

/** Logit that removes a candidate: its exponential is 0 beside any cosine over a temperature. */
const REMOVED = -1e30;

export interface InfoNceOptions extends ContrastiveOptions {
  /** τ > 0; 0.05 is usual for cosines. */
  temperature: number;
}

/**
 * InfoNCE over all documents of a batch: mean_i −log softmax(s_i/τ)[target_i], s = Q Dᵀ
 * (van den Oord et al. 2018, equation 4, with the batch's positives and mined negatives as candidates).
 *
 * `queries [n, d]` and `documents [m, d]` are L2-normalised f32; `targets` i32 `[n]` holds each query's
 * column. Returns a scalar. The mask is a constant, so removed candidates get no gradient. The scores are
 * never stored; throws InputError for a temperature that is not above 0.
 */
export function infoNce(
  queries: Tensor,
  documents: Tensor,
  targets: Tensor,
  options: InfoNceOptions,
): Tensor {
  return mean(contrastive(queries, documents, targets, options));
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
