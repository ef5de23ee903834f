import { add, gatherRows, InputError, matmul, relu, type Tensor, tensor } from '@unimoer/core';
import type { Granularity, ScorerConfig } from './config';
import { gaussian, kaimingUniform, trainable } from './init';
import type { AdapterParameter } from './lora';
import type { RouterBuild } from './router';

/** Logits `[groups, experts]` from what a group is: its pooled state, or the index of its row. */
export interface Scorer {
  score(features: Tensor): Tensor;
  parameters(): AdapterParameter[];
}

/** One scorer for one layer. `features` are f32 `[groups, hiddenSize]`, or i32 `[groups]` for `bias`. */
export function createScorer(
  layer: number,
  granularity: Granularity,
  config: ScorerConfig,
  build: RouterBuild,
): Scorer {
  const bound = granularity === 'layer' || granularity === 'task';
  if (bound !== (config.kind === 'bias')) {
    throw new InputError({
      where: `router scorer ${config.kind}`,
      got: `granularity ${granularity}`,
      expected: 'bias with layer or task, linear or mlp with token or sequence',
      remedy: 'change one of the two',
    });
  }
  const { hiddenSize, seed, backend, dtype } = build;
  const outputs = build.experts.length;
  const std = config.initStd ?? 0;
  const init = (part: string) => ({ seed, backend, dtype, key: `layer.${layer}.router.${part}` });
  const named = (tensors: Record<string, Tensor>): AdapterParameter[] =>
    Object.entries(tensors).map(([part, t]) => ({
      name: `layer.${layer}.router.${part}`,
      tensor: t,
      group: 'router',
      task: 'shared',
    }));
  const zeros = (size: number, part: string) =>
    trainable(new Float32Array(size), [size], init(part));

  if (config.kind === 'bias') {
    const table = gaussian(granularity === 'task' ? 2 : 1, outputs, std, init('table'));
    return {
      score: (index) => gatherRows(table, index),
      parameters: () => named({ table }),
    };
  }
  if (config.kind === 'linear') {
    const weight = gaussian(outputs, hiddenSize, std, init('weight'));
    const bias = zeros(outputs, 'bias');
    return {
      score: (x) => add(matmul(x, weight, { transposeB: true }), bias),
      parameters: () => named({ weight, bias }),
    };
  }
  const width = config.hidden ?? 64;
  const up = kaimingUniform(width, hiddenSize, init('up.weight'));
  const upBias = zeros(width, 'up.bias');
  const down = gaussian(outputs, width, std, init('down.weight'));
  const downBias = zeros(outputs, 'down.bias');
  return {
    score: (x) => {
      const hidden = relu(add(matmul(x, up, { transposeB: true }), upBias));
      return add(matmul(hidden, down, { transposeB: true }), downBias);
    },
    parameters: () =>
      named({ 'up.weight': up, 'up.bias': upBias, 'down.weight': down, 'down.bias': downBias }),
  };
}

/** i32 tensor of row numbers. */
export function indices(values: ArrayLike<number>, build: RouterBuild): Tensor {
  return tensor(values, [values.length], { backend: build.backend, dtype: 'i32' });
}
