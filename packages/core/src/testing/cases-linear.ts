import { FrozenWeight } from '../ops/frozen-weight';
import { adaptedLinear, type LowRank, linear } from '../ops/linear';
import { type MatmulOptions, matmul } from '../ops/matmul';
import type { Tensor } from '../tensor/tensor';
import { data, frozen, type InputSpec, integers, type OpCase, parameter, row } from './case';
import { adaptedLinearTwin } from './twins';
import { add } from '../ops/binary';

const products: [label: string, a: number[], b: number[], options: MatmulOptions][] = [
  ['a b', [5, 11], [11, 7], {}],
  ['a bT', [5, 11], [7, 11], { transposeB: true }],
  ['aT b', [11, 5], [11, 7], { transposeA: true }],
  ['aT bT', [11, 5], [7, 11], { transposeA: true, transposeB: true }],
  ['one column', [9, 33], [33, 1], {}],
];

/** Packs w in x's dtype for the duration of fn. */
export function withWeight(x: Tensor, w: Tensor, fn: (weight: FrozenWeight) => Tensor): Tensor {
  const dtype = x.dtype === 'i32' ? 'f32' : x.dtype;
  const weight = FrozenWeight.pack(w, w.shape as [number, number], { dtype });
  try {
    return fn(weight);
  } finally {
    weight.dispose();
  }
}

/** Inputs x, w, bias, A, B, rankScale and, with gates, gates, rowToGate, rankExpert. */
function adaptedInputs(m: number, n: number, k: number, rank: number, gated: boolean): InputSpec[] {
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

function lowRank(inputs: Tensor[]): LowRank {
  const [, , , A, B, rankScale, gates, rowToGate, rankExpert] = inputs;
  return {
    A: A!,
    B: B!,
    rankScale: rankScale!,
    ...(gates ? { gates, rowToGate: rowToGate!, rankExpert: rankExpert! } : {}),
  };
}

const adaptedRun = (inputs: Tensor[]): Tensor =>
  withWeight(inputs[0]!, inputs[1]!, (w) =>
    adaptedLinear(inputs[0]!, w, inputs[2]!, lowRank(inputs)),
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
  return row('adaptedLinear', label, inputs, adaptedRun, { twin: adaptedTwin, large });
}

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
  adaptedCase('LoRA', [7, 19, 33, 6], false),
  adaptedCase('three gated experts', [7, 19, 33, 6], true),
];
