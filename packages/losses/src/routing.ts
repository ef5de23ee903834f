import {
  div,
  logSoftmax,
  mean,
  mul,
  ShapeError,
  scale,
  square,
  sub,
  sum,
  type Tensor,
  tensor,
} from '@unimoer/core';

/**
 * Share of the selections that each expert got: f_e = #{g : gates[g, e] > 0} / #{gates > 0}. With
 * `gates [G, N]`, one group a row. Sums to 1; a count, hence without gradient.
 */
export function routedFractions(gates: Tensor): number[] {
  const [groups, experts] = matrixShape('routedFractions', gates);
  const values = gates.toArray();
  const counts = new Array<number>(experts).fill(0);
  for (let i = 0; i < groups * experts; i++) {
    if (values[i]! > 0) counts[i % experts]! += 1;
  }
  const total = counts.reduce((a, b) => a + b, 0);
  return counts.map((count) => (total > 0 ? count / total : 0));
}

/**
 * Load balance N Σ_e f_e P_e, P_e the mean of the dense `probabilities [G, N]` (Fedus et al. 2022,
 * equations 4–6). `fractions` are `routedFractions` over the same groups and count as constants. 1 when
 * either factor is uniform. Both must span all tasks: on one task's groups alone the loss works
 * against specialisation.
 */
export function loadBalance(probabilities: Tensor, fractions: readonly number[]): Tensor {
  const [, experts] = matrixShape('loadBalance', probabilities);
  if (fractions.length !== experts) {
    throw new ShapeError({
      where: 'loadBalance',
      got: `${fractions.length} fractions for ${experts} experts`,
      expected: 'one fraction per column of the probabilities',
    });
  }
  const f = tensor(fractions, [experts], {
    dtype: probabilities.dtype,
    backend: probabilities.backend,
  });
  return scale(sum(mul(mean(probabilities, { axis: 0 }), f)), experts);
}

/**
 * Importance matrix of the task-conditional balance, row-major `[groups, experts]`: 1+δ where the
 * expert's task is the group's, 1−δ where it is the other one, 1 for shared experts.
 */
export function taskImportance(
  groupTasks: readonly string[],
  expertTasks: readonly string[],
  delta: number,
): Float32Array {
  const out = new Float32Array(groupTasks.length * expertTasks.length);
  groupTasks.forEach((task, g) => {
    expertTasks.forEach((owner, e) => {
      out[g * expertTasks.length + e] =
        owner === 'shared' ? 1 : owner === task ? 1 + delta : 1 - delta;
    });
  });
  return out;
}

/**
 * Localised balance cv²(I∘Q) = var/mean² over all entries, with the unbiased variance (Dou et al. 2024,
 * equation 8 in the squared form of the authors' code). `mass [groups, experts]` is Q, `importance` I.
 *
 * The minimum has Q ∝ 1/I. With `taskImportance` a positive δ therefore moves mass to the experts of
 * the *other* task, and a negative δ to the experts of the group's own.
 */
export function localizedBalance(mass: Tensor, importance: Tensor): Tensor {
  const [groups, experts] = matrixShape('localizedBalance', mass);
  if (groups * experts < 2) {
    throw new ShapeError({
      where: 'localizedBalance',
      got: `shape [${groups}, ${experts}]`,
      expected: 'at least two entries, which the variance needs',
    });
  }
  const z = mul(mass, importance);
  const mu = mean(z);
  const variance = scale(sum(square(sub(z, mu))), 1 / (groups * experts - 1));
  return div(variance, square(mu));
}

/** Router z-loss mean_g (logsumexp z_g)² over `logits [G, N]` (Zoph et al. 2022, equation 5). */
export function routerZLoss(logits: Tensor): Tensor {
  matrixShape('routerZLoss', logits);
  // z − log softmax(z) is logsumexp(z) in every column, so the row mean recovers it.
  const lse = mean(sub(logits, logSoftmax(logits)), { axis: -1 });
  return mean(square(lse));
}

function matrixShape(name: string, x: Tensor): [number, number] {
  const [rows, columns] = x.shape;
  if (x.shape.length !== 2 || rows === undefined || columns === undefined) {
    throw new ShapeError({
      where: name,
      got: `shape [${x.shape.join(', ')}]`,
      expected: '[groups, experts]',
    });
  }
  return [rows, columns];
}
