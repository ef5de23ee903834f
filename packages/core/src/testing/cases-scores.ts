/** Losses over scores that are never stored. */
import { add } from '../ops/binary';
import { contrastive } from '../ops/contrastive';
import type { PackOptions } from '../ops/frozen-weight';
import { matmul } from '../ops/matmul';
import { scale } from '../ops/unary';
import { vocabularyCrossEntropy } from '../ops/vocabulary-cross-entropy';
import type { Tensor } from '../tensor/tensor';
import { data, frozen, type InputSpec, integers, type OpCase, parameter, row } from './case';
import { dequantized, withWeight } from './cases-linear';
import { crossEntropyTwin } from './twins';

/** Targets of n rows in [0, m), every fifth one ignored. */
function targetsOf(n: number, m: number): number[] {
  return Array.from({ length: n }, (_, i) => (i % 5 === 3 ? -1 : (i * 7 + m - 1) % m));
}

/** Removes a third of the candidates, never a target. */
function maskOf(n: number, m: number): InputSpec {
  const target = targetsOf(n, m);
  const removed = Array.from({ length: n * m }, (_, at) => {
    const [i, j] = [Math.floor(at / m), at % m];
    return (i + j) % 3 === 0 && j !== target[i] ? -1e30 : 0;
  });
  return frozen(parameter([n, m], removed));
}

function vocabularyCase(
  label: string,
  [n, v, d]: readonly [number, number, number],
  large = false,
) {
  return row(
    'vocabularyCrossEntropy',
    label,
    [data([n, d]), frozen(data([v, d])), integers(targetsOf(n, v))],
    ([x, w, t]) => withWeight(x!, w!, (weight) => vocabularyCrossEntropy(x!, weight, t!)),
    { twin: ([x, w, t]) => crossEntropyTwin(matmul(x!, w!, { transposeB: true }), t!), large },
  );
}

function contrastiveCase(
  label: string,
  [n, m, d]: readonly [number, number, number],
  temperature: number,
  masked: boolean,
  large = false,
) {
  const twin = ([q, p, t, mask]: Tensor[]): Tensor => {
    const scores = scale(matmul(q!, p!, { transposeB: true }), 1 / temperature);
    return crossEntropyTwin(mask ? add(scores, mask) : scores, t!);
  };
  return row(
    'contrastive',
    label,
    [data([n, d]), data([m, d]), integers(targetsOf(n, m)), ...(masked ? [maskOf(n, m)] : [])],
    ([q, p, t, mask]) => contrastive(q!, p!, t!, { temperature, mask }),
    { twin, large },
  );
}

const int4: PackOptions = { dtype: 'int4' };

export const scoreCases: OpCase[] = [
  vocabularyCase('one ignored target', [5, 37, 9]),
  vocabularyCase('two tiles', [3, 601, 4]),
  contrastiveCase('four against nine', [4, 9, 6], 0.5, false),
  contrastiveCase('masked', [5, 8, 6], 2, true),
  vocabularyCase('37 rows of 3000 words', [37, 3000, 96], true),
  contrastiveCase('130 against 700', [130, 700, 64], 4, false, true),
  row(
    'vocabularyCrossEntropy',
    'int4',
    [data([5, 9]), frozen(data([37, 9])), integers(targetsOf(5, 37))],
    ([x, w, t]) => withWeight(x!, w!, (weight) => vocabularyCrossEntropy(x!, weight, t!), int4),
    {
      twin: ([x, w, t]) =>
        crossEntropyTwin(matmul(x!, dequantized(x!, w!, int4), { transposeB: true }), t!),
    },
  ),
];
