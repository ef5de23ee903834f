import {
  AdamW,
  adaptedLinear,
  type Backend,
  backward,
  crossEntropy,
  ForwardContext,
  type Linear,
  type LinearAdapter,
  l2Normalize,
  matmul,
  mul,
  noGrad,
  type Parameter,
  scale,
  scope,
  sliceRows,
  sum,
  type Tensor,
  tensor,
} from '@unimoer/core';
import { afterAll, describe, expect, it } from 'vitest';
import { type DecoderBackbone, loadModel, type Model, pool, vocabularyLogits } from '../src/index';
import { backends, fixture, oracle, relativeDifference } from './fixtures';

interface Settings {
  rank: number;
  scaling: number;
  lengths: number[];
}

/** LoRA as PEFT defines it: y = x Wᵀ + b + (alpha / r) x Aᵀ Bᵀ. */
class Lora implements LinearAdapter {
  private readonly rankScale: Tensor;

  constructor(
    readonly name: string,
    readonly A: Tensor,
    readonly B: Tensor,
    scaling: number,
  ) {
    const rank = A.shape[0]!;
    const { backend } = A;
    this.rankScale = tensor(new Float32Array(rank).fill(scaling), [rank], { backend });
  }

  forward(x: Tensor, base: Linear): Tensor {
    const { A, B, rankScale } = this;
    return adaptedLinear(x, base.weight, base.bias, { A, B, rankScale });
  }

  parameters(): Parameter[] {
    return [
      { name: `${this.name}.lora_A.weight`, tensor: this.A },
      { name: `${this.name}.lora_B.weight`, tensor: this.B },
    ];
  }
}

type Oracle = ReturnType<typeof oracle>;

function attach(model: Model, from: Oracle, { scaling }: Settings, backend: Backend): Parameter[] {
  return [...model.linears().values()].flatMap((linear) => {
    const read = (part: string) => {
      const name = `lora.${linear.name}.${part}.weight`;
      return tensor(from.read(name), from.shape(name), { requiresGrad: true, backend });
    };
    const adapter = new Lora(linear.name, read('lora_A'), read('lora_B'), scaling);
    linear.adapter = adapter;
    return adapter.parameters();
  });
}

function settings(from: Oracle): Settings {
  const rank = from.meta<number>('rank');
  return { rank, scaling: from.meta<number>('alpha') / rank, lengths: from.meta('lengths') };
}

function sequences(from: Oracle, lengths: number[]): number[][] {
  const ids = from.ints('inputIds');
  const ends = lengths.map((_, i) => lengths.slice(0, i + 1).reduce((a, b) => a + b));
  return lengths.map((n, i) => ids.slice(ends[i]! - n, ends[i]!));
}

/** Checks gradients of the first step and the losses of ten AdamW steps against PyTorch + PEFT. */
function checkTraining(from: Oracle, parameters: Parameter[], loss: () => Tensor): void {
  const expected = from.meta<number[]>('losses');
  const optimiser = new AdamW(parameters, {
    lr: from.meta('lr'),
    weightDecay: from.meta('weightDecay'),
    betas: from.meta('betas'),
    eps: from.meta('eps'),
  });
  const losses: number[] = [];
  for (let step = 0; step < expected.length; step++) {
    optimiser.zeroGrad();
    losses.push(
      scope(() => {
        const value = loss();
        const number = value.item();
        backward(value);
        return number;
      }),
    );
    if (step === 0) {
      expect(parameters.length).toBe(from.names.filter((n) => n.startsWith('grad.')).length);
      for (const { name, tensor: parameter } of parameters) {
        const difference = relativeDifference(parameter.grad!.toArray(), from.read(`grad.${name}`));
        expect(difference, `gradient of ${name}`).toBeLessThan(1e-4);
      }
    }
    optimiser.step();
  }
  for (const [i, value] of losses.entries()) {
    expect(Math.abs(value / expected[i]! - 1), `loss ${i}`).toBeLessThan(1e-4);
  }
}

describe.each(backends())('tiny Qwen3 on the $name backend', (backend) => {
  const from = oracle(fixture('tiny-qwen3/oracle.safetensors'));
  const config = settings(from);
  const model = loadModel(fixture('tiny-qwen3'), { forBackward: true, backend });
  const backbone = model.backbone as DecoderBackbone;
  const ids = sequences(from, config.lengths);
  const batch = model.pack(ids.map((row) => ({ ids: row })));
  const hidden = () => backbone.forward(new ForwardContext(batch));
  const read = (states: () => Tensor) => noGrad(() => scope(() => states().toArray()));
  afterAll(() => model.dispose());

  it('gives the hidden states and logits of transformers on a ragged batch', () => {
    expect(relativeDifference(read(hidden), from.read('base.hidden'))).toBeLessThan(1e-4);
    const logits = read(() => vocabularyLogits(backbone, hidden()));
    expect(relativeDifference(logits, from.read('base.logits'))).toBeLessThan(1e-4);
  });

  it('gives the logits, gradients and ten losses of PEFT with LoRA on every linear', () => {
    const parameters = attach(model, from, config, backend);
    const logits = () => vocabularyLogits(backbone, hidden());
    expect(relativeDifference(read(logits), from.read('adapted.logits'))).toBeLessThan(1e-4);
    const targets = ids.flatMap((row) => [...row.slice(1), -1]);
    const counted = targets.filter((t) => t >= 0).length;
    checkTraining(from, parameters, () => {
      const wanted = tensor(Int32Array.from(targets), [targets.length], { backend });
      return scale(sum(crossEntropy(logits(), wanted), { axis: null }), 1 / counted);
    });
  });
});

describe.each(backends())('tiny BERT on the $name backend', (backend) => {
  const from = oracle(fixture('tiny-bert/oracle.safetensors'));
  const config = settings(from);
  const model = loadModel(fixture('tiny-bert'), { forBackward: true, backend });
  const batch = model.pack(sequences(from, config.lengths).map((ids) => ({ ids })));
  const hidden = () => model.backbone.forward(new ForwardContext(batch));
  const read = (states: () => Tensor) => noGrad(() => scope(() => states().toArray()));
  afterAll(() => model.dispose());

  it('gives the hidden states of transformers on a ragged batch', () => {
    expect(relativeDifference(read(hidden), from.read('base.hidden'))).toBeLessThan(1e-4);
  });

  it('gives the hidden states, gradients and ten losses of PEFT with LoRA on every linear', () => {
    const parameters = attach(model, from, config, backend);
    expect(relativeDifference(read(hidden), from.read('adapted.hidden'))).toBeLessThan(1e-4);
    const temperature = from.meta<number>('temperature');
    checkTraining(from, parameters, () => {
      const pooled = l2Normalize(pool(hidden(), batch, 'mean'));
      const queries = sliceRows(pooled, 0, 2);
      const documents = sliceRows(pooled, 2, 4);
      const logits = scale(matmul(queries, documents, { transposeB: true }), 1 / temperature);
      const wanted = tensor(Int32Array.of(0, 1), [2], { backend });
      return scale(sum(crossEntropy(logits, wanted), { axis: null }), 0.5);
    });
  });

  it('computes the same through embed, layers in two parts and final', () => {
    const whole = read(hidden);
    const parts = read(() => {
      const ctx = new ForwardContext(batch);
      const { backbone } = model;
      const lower = backbone.layers(backbone.embed(batch), ctx, 0, 1);
      return backbone.final(backbone.layers(mul(lower, tensor([1], [1], { backend })), ctx, 1, 2));
    });
    expect(parts).toEqual(whole);
  });
});
