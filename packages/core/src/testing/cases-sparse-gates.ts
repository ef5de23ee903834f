import { adaptedLinear, linearGroup } from '../ops/adapted-linear';
import { mul } from '../ops/binary';
import { concat } from '../ops/layout';
import { topKMask } from '../ops/routing';
import type { LowRank } from '../ops/shared/low-rank';
import type { Tensor } from '../tensor/tensor';
import { integers, type InputSpec, type OpCase, parameter, row } from './case';
import { adaptedInputs, lowRank, withWeight } from './cases-linear';
import { adaptedLinearTwin } from './twins';

/** Two runs of rows, each with its own gates of three experts. */
const rows = 72;

/** Inputs x, w, bias, A, B, rankScale, probabilities, rowToGate, rankExpert. */
function inputs(n: number, k: number): InputSpec[] {
  const [probabilities, , rankExpert] = adaptedInputs(rows, n, k, 6, true).slice(6);
  return [
    ...adaptedInputs(rows, n, k, 6, false),
    // One row keeps the first expert, the other the last.
    parameter(probabilities!.shape.with(0, 2), [0.9, 0.3, 0.5, 0.2, 0.4, 0.8]),
    integers(Array.from({ length: rows }, (_, t) => Number(t >= 33))),
    rankExpert!,
  ];
}

/** Gates p · topKMask(p, 1), so that finite differences see the zeros that the op leaves out. */
function topOne(all: Tensor[], sparseGates: boolean): LowRank {
  const p = all[6]!;
  return { ...lowRank(all), gates: mul(p, topKMask(p, 1)), sparseGates };
}

/** Two linears with the same adapter over one x. */
function pair(all: Tensor[]): Tensor {
  const low = topOne(all, true);
  return withWeight(all[0]!, all[1]!, (weight) => {
    const member = { weight, bias: all[2]!, lowRank: low };
    return concat(linearGroup(all[0]!, [member, member]), -1);
  });
}

const twin = (all: Tensor[]): Tensor =>
  adaptedLinearTwin(all[0]!, all[1]!, all[2]!, topOne(all, false));

export const sparseGateCases: OpCase[] = [
  row(
    'adaptedLinear',
    'top expert of three',
    inputs(9, 5),
    (all) =>
      withWeight(all[0]!, all[1]!, (w) => adaptedLinear(all[0]!, w, all[2]!, topOne(all, true))),
    { twin },
  ),
  row('linearGroup', 'top expert of three', inputs(9, 5), pair, {
    twin: (all) => concat([twin(all), twin(all)], -1),
  }),
];
