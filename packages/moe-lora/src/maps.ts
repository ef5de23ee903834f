import {
  addScalar,
  div,
  InputError,
  mul,
  neg,
  softplus,
  sparsegen,
  sum,
  type Tensor,
  tensor,
  topKMask,
} from '@unimoer/core';
import type { MapConfig } from './config';
import { trainable } from './init';
import type { AdapterParameter } from './lora';
import type { RouterBuild } from './router';

/** λ never exceeds this, so that 1 − λ ≥ 0.01 (LD-MoLE, section 3.2). */
const MAX_SPARSITY = 0.99;

/** λ at which Gaussian logits of three experts keep all of them active: logsigmoid(−2.5) + 0.99. */
export const DEFAULT_SPARSITY = -1.5889;

/** Gates `[groups, experts]` of logits of the same shape, and the sparsity in use. */
export interface GateMap {
  /** Its derivative is 0 where a gate is 0. */
  readonly sparse: boolean;
  apply(logits: Tensor, probabilities: Tensor): { gates: Tensor; sparsity: Tensor | null };
  parameters(): AdapterParameter[];
}

/** One map for one layer. */
export function createMap(layer: number, config: MapConfig, build: RouterBuild): GateMap {
  switch (config.kind) {
    case 'softmax':
      return {
        sparse: false,
        apply: (_, gates) => ({ gates, sparsity: null }),
        parameters: () => [],
      };
    case 'topK':
      return topK(config.k, config.renormalize ?? 'one', build.experts.length);
    case 'sparsegen':
      return learnedSparsegen(
        layer,
        config.initialSparsity ?? DEFAULT_SPARSITY,
        config.fixed ?? false,
        build,
      );
  }
}

function topK(k: number, renormalize: 'one' | 'none', experts: number): GateMap {
  if (!Number.isInteger(k) || k < 1 || k > experts) {
    throw new InputError({
      where: 'router map topK k',
      got: String(k),
      expected: `a whole number from 1 to ${experts}, the number of routed experts`,
      remedy: 'change k or add experts',
    });
  }
  if (k === 1 && renormalize === 'one') {
    throw new InputError({
      where: 'router map topK',
      got: 'k 1 with renormalize one',
      expected: 'gates that depend on the logits',
      remedy: 'use renormalize none, since the gate is the constant 1 otherwise',
    });
  }
  return {
    sparse: true,
    parameters: () => [],
    apply(_, probabilities) {
      const kept = mul(probabilities, topKMask(probabilities, k));
      if (renormalize === 'none') return { gates: kept, sparsity: null };
      const mass = sum(kept, { axis: -1 }).reshape([kept.shape[0]!, 1]);
      return { gates: div(kept, mass), sparsity: null };
    },
  };
}

/**
 * Sparsegen(z; λ) with one λ per layer (Laha et al. 2018, equation 5). λ = logsigmoid(θ) + 0.99 for a
 * free θ, as LD-MoLE bounds it.
 */
function learnedSparsegen(
  layer: number,
  initial: number,
  fixed: boolean,
  build: RouterBuild,
): GateMap {
  if (!(initial < MAX_SPARSITY)) {
    throw new InputError({
      where: 'router map sparsegen initialSparsity',
      got: String(initial),
      expected: `a number below ${MAX_SPARSITY}`,
      remedy: `${DEFAULT_SPARSITY} starts with every expert active`,
    });
  }
  const { backend, dtype = 'f32' } = build;
  if (fixed) {
    return {
      sparse: true,
      parameters: () => [],
      apply(logits) {
        const lambda = tensor([initial], [], { backend, dtype });
        return { gates: sparsegen(logits, lambda), sparsity: lambda };
      },
    };
  }
  // logsigmoid(θ) = λ − 0.99 gives θ = −ln(exp(0.99 − λ) − 1).
  const theta = trainable(Float32Array.of(-Math.log(Math.expm1(MAX_SPARSITY - initial))), [], {
    backend,
    dtype,
    key: `layer.${layer}.router.sparsity`,
  });
  return {
    sparse: true,
    parameters: () => [
      { name: `layer.${layer}.router.sparsity`, tensor: theta, group: 'router', task: 'shared' },
    ],
    apply(logits) {
      const lambda = addScalar(neg(softplus(neg(theta))), MAX_SPARSITY);
      return { gates: sparsegen(logits, lambda), sparsity: lambda };
    },
  };
}
