import { adaptedLinear, linearGroup } from '../ops/adapted-linear';
import type { LowRank } from '../ops/shared/low-rank';
import { feedForward, type FeedForwardActivation } from '../ops/feed-forward';
import { linear } from '../ops/linear';
import { swiglu } from '../ops/swiglu';
import { gelu, relu } from '../ops/unary';
import { FrozenWeight, type PackOptions } from '../ops/frozen-weight';
import { type MatmulOptions, matmul } from '../ops/matmul';
import type { Tensor } from '../tensor/tensor';
import { data, frozen, type InputSpec, integers, type OpCase, parameter, row } from './case';
import { adaptedLinearTwin } from './twins';
import { add } from '../ops/binary';
import { concat } from '../ops/layout';
import { cast } from '../ops/cast';

const products: [label: string, a: number[], b: number[], options: MatmulOptions][] = [
  ['a b', [5, 11], [11, 7], {}],
  ['a bT', [5, 11], [7, 11], { transposeB: true }],
  ['aT b', [11, 5], [11, 7], { transposeA: true }],
  ['aT bT', [11, 5], [7, 11], { transposeA: true, transposeB: true }],
  ['one column', [9, 33], [33, 1], {}],
];

/** Packs w, in x's dtype unless told, for the duration of fn. */
export function withWeight(
  x: Tensor,
  w: Tensor,
  fn: (weight: FrozenWeight) => Tensor,
  options?: PackOptions,
): Tensor {
  const dtype = x.dtype === 'i32' ? 'f32' : x.dtype;
  const weight = FrozenWeight.pack(w, w.shape as [number, number], options ?? { dtype });
  try {
    return fn(weight);
  } finally {
    weight.dispose();
  }
}

/** Inputs x, w, bias, A, B, rankScale and, with gates, gates, rowToGate, rankExpert. */
export function adaptedInputs(
  m: number,
  n: number,
  k: number,
  rank: number,
  gated: boolean,
): InputSpec[] {
  const gates: InputSpec[] = [
    parameter([3, 3], 'positive'),
    integers(Array.from({ length: m }, (_, t) => (t * 2) % 3)),
    integers(Array.from({ length: rank }, (_, j) => Math.floor((j * 3) / rank))),
  ];
  return [
    data([m, k]),
    frozen(data([n, k])),
    parameter([n]),
    parameter([rank, k]),
    parameter([n, rank]),
    frozen(parameter([rank])),
    ...(gated ? gates : []),
  ];
}

export function lowRank(inputs: Tensor[]): LowRank {
  const [, , , A, B, rankScale, gates, rowToGate, rankExpert] = inputs;
  return {
    A: A!,
    B: B!,
    rankScale: rankScale!,
    ...(gates ? { gates, rowToGate: rowToGate!, rankExpert: rankExpert! } : {}),
  };
}

const adaptedRun = (inputs: Tensor[], options?: PackOptions): Tensor =>
  withWeight(
    inputs[0]!,
    inputs[1]!,
    (w) => adaptedLinear(inputs[0]!, w, inputs[2]!, lowRank(inputs)),
    options,
  );
const adaptedTwin = (inputs: Tensor[]): Tensor =>
  adaptedLinearTwin(inputs[0]!, inputs[1]!, inputs[2]!, lowRank(inputs));

/** adaptedLinear with m tokens, n outputs, k inputs and rank R, with or without three gated experts. */
export function adaptedCase(
  label: string,
  [m, n, k, rank]: readonly [number, number, number, number],
  gated: boolean,
  large = false,
): OpCase {
  const inputs = adaptedInputs(m, n, k, rank, gated);
  return row('adaptedLinear', label, inputs, (all) => adaptedRun(all), {
    twin: adaptedTwin,
    large,
  });
}

/**
 * Three linears over one x: with gated experts, plain and with LoRA; or two of them, with the outputs side
 * by side. Inputs x; w, bias, A, B, rankScale of each; gates, rowToGate, rankExpert.
 */
function groupCase(label: string, m: number, k: number, outs: number[], gated: boolean): OpCase {
  const rank = 6;
  const inputs: InputSpec[] = [
    data([m, k]),
    ...outs.flatMap((n) => adaptedInputs(m, n, k, rank, false).slice(1)),
    ...(gated ? adaptedInputs(m, 1, k, rank, true).slice(6) : []),
  ];
  const members = (all: Tensor[]) =>
    outs.map((_, i) => {
      const [w, bias, A, B, rankScale] = all.slice(1 + 5 * i, 6 + 5 * i) as Tensor[];
      const [gates, rowToGate, rankExpert] = all.slice(1 + 5 * outs.length) as Tensor[];
      const gating =
        gated && i === 0 ? { gates: gates!, rowToGate: rowToGate!, rankExpert: rankExpert! } : {};
      const low: LowRank = { A: A!, B: B!, rankScale: rankScale!, ...gating };
      // The second is frozen when there are gates: its pair stays without effect and without gradient.
      return { w: w!, bias: bias!, low: gated && i > 0 ? null : low };
    });
  const run = (all: Tensor[]): Tensor => {
    const x = all[0]!;
    const dtype = x.dtype === 'i32' ? 'f32' : x.dtype;
    const list = members(all).map(({ w, bias, low }) => ({
      weight: FrozenWeight.pack(w, w.shape as [number, number], { dtype }),
      bias,
      lowRank: low,
    }));
    try {
      return concat(linearGroup(x, list), -1);
    } finally {
      for (const { weight } of list) weight.dispose();
    }
  };
  const twin = (all: Tensor[]): Tensor =>
    concat(
      members(all).map(({ w, bias, low }) =>
        low
          ? adaptedLinearTwin(all[0]!, w, bias, low)
          : add(matmul(all[0]!, w, { transposeB: true }), bias),
      ),
      -1,
    );
  return row('linearGroup', label, inputs, run, { twin });
}

/** A feed-forward part with m tokens; the twin is made of plain ops. */
export function feedForwardCase(
  activation: FeedForwardActivation,
  [m, d, wide]: readonly [number, number, number],
  { large = false, residual = 'none' }: { large?: boolean; residual?: 'none' | 'own' | 'x' } = {},
): OpCase {
  const gated = activation === 'swiglu';
  const onTop = { none: '', own: ' on top of a residual', x: ' on top of x' }[residual];
  const scaled = (rows: number, cols: number) => frozen(data([rows, cols]));
  const inputs: InputSpec[] = [
    data([m, d]),
    scaled(wide, d),
    scaled(d, wide),
    frozen(parameter([wide])),
    frozen(parameter([d])),
    ...(residual === 'own' ? [data([m, d])] : []),
    ...(gated ? [scaled(wide, d)] : []),
  ];
  // What follows the biases: the residual, if it has an array of its own, and the gate.
  const extras = (x: Tensor, rest: readonly (Tensor | undefined)[]) => ({
    gate: gated ? rest.at(-1) : undefined,
    onto: residual === 'own' ? rest[0]! : residual === 'x' ? x : null,
  });
  const product = (x: Tensor, w: Tensor): Tensor => matmul(x, w, { transposeB: true });
  return row(
    'feedForward',
    `${activation}, ${m} tokens${onTop}`,
    inputs,
    ([x, up, down, upBias, downBias, ...rest]) => {
      const { gate, onto } = extras(x!, rest);
      const dtype = x!.dtype === 'i32' ? 'f32' : x!.dtype;
      const pack = (w: Tensor) => FrozenWeight.pack(w, w.shape as [number, number], { dtype });
      const packs = [up!, down!, ...(gate ? [gate] : [])].map(pack);
      const [first, second, third] = packs;
      try {
        return feedForward(
          x!,
          {
            up: { weight: first!, bias: upBias! },
            down: { weight: second!, bias: downBias! },
            ...(third ? { gate: { weight: third, bias: null } } : {}),
          },
          activation,
          onto,
        );
      } finally {
        for (const weight of packs) weight.dispose();
      }
    },
    {
      twin: ([x, up, down, upBias, downBias, ...rest]) => {
        const { gate, onto } = extras(x!, rest);
        const wide = add(product(x!, up!), upBias!);
        const active = gate
          ? swiglu(product(x!, gate), wide)
          : activation === 'relu'
            ? relu(wide)
            : gelu(wide, { approximate: activation === 'gelu' ? 'none' : 'tanh' });
        const y = add(product(active, down!), downBias!);
        return onto ? add(y, onto) : y;
      },
      large,
    },
  );
}

/** The values that a quantised w stands for, in x's dtype. */
export function dequantized(x: Tensor, w: Tensor, options: PackOptions): Tensor {
  return withWeight(x, w, (weight) => cast(weight.dequantize(), x.dtype), options);
}

const quantizedForms: [label: string, options: PackOptions][] = [
  ['int8', { dtype: 'int8', activations: 'full' }],
  ['int4', { dtype: 'int4', groupSize: 16, activations: 'full' }],
];

const quantizedCases: OpCase[] = [
  ...quantizedForms.flatMap(([label, options]) => [
    row(
      'linear',
      label,
      [data([7, 37]), frozen(data([19, 37])), parameter([19])],
      ([x, w, b]) => withWeight(x!, w!, (weight) => linear(x!, weight, b!), options),
      {
        twin: ([x, w, b]) =>
          add(matmul(x!, dequantized(x!, w!, options), { transposeB: true }), b!),
      },
    ),
    row(
      'linear',
      `${label} on top of x`,
      [data([7, 37]), frozen(data([37, 37]))],
      ([x, w]) => withWeight(x!, w!, (weight) => linear(x!, weight, null, x!), options),
      {
        twin: ([x, w]) => add(matmul(x!, dequantized(x!, w!, options), { transposeB: true }), x!),
      },
    ),
    row(
      'adaptedLinear',
      label,
      adaptedInputs(7, 19, 37, 6, true),
      (all) => adaptedRun(all, options),
      {
        twin: ([x, w, ...rest]) => adaptedTwin([x!, dequantized(x!, w!, options), ...rest]),
      },
    ),
  ]),
  ...(['int8', 'int4'] as const).map((dtype) =>
    row(
      'linear',
      `${dtype} with 8-bit activations`,
      [data([7, 37]), frozen(data([19, 37])), parameter([19])],
      ([x, w, b]) => withWeight(x!, w!, (weight) => linear(x!, weight, b!), { dtype }),
      { differentiable: false },
    ),
  ),
];

/** linear without a bias. */
export function linearCase(label: string, m: number, n: number, k: number, large = false): OpCase {
  return row(
    'linear',
    label,
    [data([m, k]), frozen(data([n, k]))],
    ([x, w]) => withWeight(x!, w!, (weight) => linear(x!, weight, null)),
    { twin: ([x, w]) => matmul(x!, w!, { transposeB: true }), large },
  );
}

export const linearCases: OpCase[] = [
  ...products.map(([label, a, b, options]) =>
    row('matmul', label, [data(a), data(b)], ([x, y]) => matmul(x!, y!, options)),
  ),
  row(
    'linear',
    'with bias',
    [data([7, 33]), frozen(data([19, 33])), parameter([19])],
    ([x, w, b]) => withWeight(x!, w!, (weight) => linear(x!, weight, b!)),
    { twin: ([x, w, b]) => add(matmul(x!, w!, { transposeB: true }), b!) },
  ),
  linearCase('without bias', 7, 19, 33),
  row(
    'linear',
    'on top of a residual',
    [data([7, 33]), frozen(data([19, 33])), parameter([19]), data([7, 19])],
    ([x, w, b, r]) => withWeight(x!, w!, (weight) => linear(x!, weight, b!, r!)),
    { twin: ([x, w, b, r]) => add(add(matmul(x!, w!, { transposeB: true }), b!), r!) },
  ),
  adaptedCase('LoRA', [7, 19, 33, 6], false),
  row(
    'adaptedLinear',
    'on top of a residual',
    [...adaptedInputs(7, 19, 33, 6, false), data([7, 19])],
    (all) =>
      withWeight(all[0]!, all[1]!, (w) =>
        adaptedLinear(all[0]!, w, all[2]!, lowRank(all.slice(0, 6)), all[6]!),
      ),
    { twin: (all) => add(adaptedTwin(all.slice(0, 6)), all[6]!) },
  ),
  adaptedCase('three gated experts', [7, 19, 33, 6], true),
  feedForwardCase('gelu', [7, 11, 19]),
  feedForwardCase('gelu_tanh', [7, 11, 19]),
  feedForwardCase('relu', [7, 11, 19]),
  feedForwardCase('swiglu', [7, 11, 19]),
  feedForwardCase('gelu', [7, 11, 19], { residual: 'x' }),
  feedForwardCase('swiglu', [7, 11, 19], { residual: 'own' }),
  groupCase('q, k, v with LoRA', 7, 33, [19, 16, 5], false),
  groupCase('gated experts beside a frozen one', 7, 33, [19, 16], true),
  ...quantizedCases,
];
