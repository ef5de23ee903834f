import {
  crossEntropy,
  type FrozenWeight,
  InputError,
  logSoftmax,
  mean,
  mul,
  neg,
  scale,
  softplus,
  sub,
  sum,
  type Tensor,
  vocabularyCrossEntropy,
} from '@unimoer/core';

/**
 * Pointwise binary cross entropy with logits: mean of softplus(s) − s·b, the stable form of
 * −b·log σ(s) − (1−b)·log(1−σ(s)). `scores` and `labels` f32 `[n]`, labels in [0, 1]. Scalar result.
 */
export function binaryCrossEntropy(scores: Tensor, labels: Tensor): Tensor {
  return mean(sub(softplus(scores), mul(scores, labels)));
}

/**
 * Cross entropy over the two logits `[no, yes]` of each pair: −log softmax(ℓ)[label], the two-way form
 * of the Qwen3-Reranker objective (Zhang et al. 2025, section 3.1). `logits` f32 `[n, 2]`, `labels` i32
 * `[n]` with 1 for yes. Scalar result.
 */
export function yesNoCrossEntropy(logits: Tensor, labels: Tensor): Tensor {
  return mean(crossEntropy(logits, labels));
}

/**
 * Next-token cross entropy of each pair's answer over the whole vocabulary, −log p(answer | prompt): the
 * Qwen3-Reranker objective as published (Zhang et al. 2025, section 3.1). It is `yesNoCrossEntropy` of the two
 * logits minus log(p(yes) + p(no)). `states [n, d]` are the final hidden states of the last prompt tokens,
 * `output` is the frozen output matrix `[V, d]`, `answers` i32 `[n]` are token ids. Logits are never stored.
 * Scalar result.
 */
export function answerCrossEntropy(states: Tensor, output: FrozenWeight, answers: Tensor): Tensor {
  return mean(vocabularyCrossEntropy(states, output, answers));
}

/**
 * Softmax cross entropy over each query's candidates (localised contrastive estimation, Gao et al.
 * 2021, equation 5): mean of −s₊/τ + logsumexp(s/τ). `scores` f32 `[queries, candidates]`, `targets`
 * i32 `[queries]`. Scalar result.
 */
export function groupCrossEntropy(scores: Tensor, targets: Tensor, temperature = 1): Tensor {
  if (!(temperature > 0)) {
    throw new InputError({
      where: 'groupCrossEntropy temperature',
      got: String(temperature),
      expected: 'a number above 0',
      remedy: 'leave it at 1 for logits',
    });
  }
  return mean(crossEntropy(temperature === 1 ? scores : scale(scores, 1 / temperature), targets));
}

/**
 * Listwise cross entropy against a distribution: mean over queries of −Σ_i w_i log softmax(s)_i.
 * `weights [queries, candidates]` sum to 1 in each row: labels divided by their sum give the
 * multi-positive softmax loss, softmax(labels) gives ListNet (Cao et al. 2007, equation 4).
 */
export function listwiseCrossEntropy(scores: Tensor, weights: Tensor): Tensor {
  return neg(mean(sum(mul(logSoftmax(scores), weights), { axis: -1 })));
}
