import {
  adaptedLinear,
  type Backend,
  backward,
  ForwardContext,
  type LayerHook,
  type Linear,
  type LinearAdapter,
  matmul,
  mean,
  type Parameter,
  Philox,
  scope,
  segmentMean,
  softmax,
  square,
  type Tensor,
  tensor,
} from '@unimoer/core';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../src/index';
import { backends, fixture } from './fixtures';

const RANK = 4;
const EXPERTS = 2;

/** Two experts of rank 2 whose gates come from a router, or plain LoRA without one. */
class Adapter implements LinearAdapter {
  readonly A: Tensor;
  readonly B: Tensor;
  private readonly rankScale: Tensor;
  private readonly rankExpert: Tensor;

  constructor(
    readonly base: Linear,
    random: Philox,
    backend: Backend,
  ) {
    const { inFeatures, outFeatures } = base.weight;
    const drawn = (shape: number[], requiresGrad: boolean) =>
      tensor(
        Float32Array.from({ length: shape[0]! * shape[1]! }, () => random.normal() / 8),
        shape,
        { backend, requiresGrad },
      );
    this.A = drawn([RANK, inFeatures], true);
    this.B = drawn([outFeatures, RANK], true);
    this.rankScale = tensor(new Float32Array(RANK).fill(0.5), [RANK], { backend });
    this.rankExpert = tensor([0, 0, 1, 1], [RANK], { backend, dtype: 'i32' });
  }

  forward(x: Tensor, base: Linear, ctx: ForwardContext): Tensor {
    const { A, B, rankScale, rankExpert } = this;
    const gating = ctx.gates ? { ...ctx.gates, rankExpert } : {};
    return adaptedLinear(x, base.weight, base.bias, { A, B, rankScale, ...gating });
  }

  parameters(): Parameter[] {
    return [
      { name: `${this.base.name}.A`, tensor: this.A },
      { name: `${this.base.name}.B`, tensor: this.B },
    ];
  }
}

/** Gates per sequence from the layer's input; counts its decisions. */
class Router implements LayerHook {
  decisions = 0;
  readonly weight: Tensor;

  constructor(hiddenSize: number, random: Philox, backend: Backend) {
    const values = Float32Array.from({ length: EXPERTS * hiddenSize }, () => random.normal() / 4);
    this.weight = tensor(values, [EXPERTS, hiddenSize], { backend, requiresGrad: true });
  }

  beginLayer(layer: number, hidden: Tensor, ctx: ForwardContext): void {
    const features = segmentMean(hidden, ctx.batch.cuSeqlens);
    const gates = softmax(matmul(features, this.weight, { transposeB: true }));
    ctx.gates = { gates, rowToGate: ctx.batch.rowToSequence };
    ctx.record.set(`gates.${layer}`, gates);
    this.decisions++;
  }
}

/** Loss, gradients, peak bytes of one step over 300 tokens. */
function step(
  family: string,
  dtype: 'f32' | 'bf16',
  backend: Backend,
  routed: boolean,
  again: boolean,
) {
  const model = loadModel(fixture(family), { dtype, backend, forBackward: true });
  const random = new Philox(5);
  const adapters = [...model.linears().values()]
    .filter(({ layer }) => routed || layer === 1)
    .map((linear) => {
      const adapter = new Adapter(linear, random, backend);
      linear.adapter = adapter;
      return adapter;
    });
  const router = new Router(model.backbone.hiddenSize, random, backend);
  const sequences = [60, 45, 60, 60, 30, 45].map((length) => ({
    ids: Array.from({ length }, () => 5 + random.int(50)),
  }));
  const batch = model.pack(sequences);
  const ctx = new ForwardContext(batch, {
    training: true,
    hooks: routed ? [router] : [],
    gradientCheckpointing: again,
  });
  const start = backend.memory().liveBytes;
  backend.resetPeak();
  const loss = scope(() => {
    const value = mean(square(model.backbone.forward(ctx)));
    backward(value);
    return value.item();
  });
  const peak = backend.memory().peakBytes - start;
  const parameters = adapters.flatMap((adapter) => adapter.parameters());
  if (routed) parameters.push({ name: 'router', tensor: router.weight });
  const gradients = Object.fromEntries(
    parameters.map(({ name, tensor: t }) => [name, t.grad?.toArray() ?? null]),
  );
  model.dispose();
  return { bits: { loss, gradients }, peak, decisions: router.decisions };
}

describe.each(backends())('gradient checkpointing on the $name backend', (backend) => {
  it.each([
    ['tiny-bert', 'f32', true],
    ['tiny-bert', 'bf16', true],
    ['tiny-bert', 'f32', false],
    ['tiny-qwen3', 'f32', true],
    ['tiny-qwen3', 'bf16', true],
    ['tiny-qwen3', 'bf16', false],
  ] as const)(
    '%s in %s, routed: %s, has the same bits, and a lower peak with two layers',
    (family, dtype, routed) => {
      const plain = step(family, dtype, backend, routed, false);
      const again = step(family, dtype, backend, routed, true);
      expect(Object.values(plain.bits.gradients)).not.toContain(null);
      expect(again.bits).toEqual(plain.bits);
      expect(again.decisions).toBe(plain.decisions);
      if (routed) expect(again.peak).toBeLessThan(0.8 * plain.peak);
    },
  );
});
