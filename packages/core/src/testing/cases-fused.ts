import { attention, type AttentionOptions, rope } from '../ops/attention';
import { add } from '../ops/binary';
import { crossEntropy } from '../ops/cross-entropy';
import { layerNorm } from '../ops/layer-norm';
import { rmsNorm, rmsNormResidual } from '../ops/rms-norm';
import { rmsNormRope } from '../ops/rms-norm-rope';
import { sparsegen } from '../ops/routing';
import { swiglu } from '../ops/swiglu';
import { tanh } from '../ops/unary';
import { data, frozen, integers, type OpCase, parameter, row } from './case';
import {
  attentionTwin,
  crossEntropyTwin,
  layerNormTwin,
  rmsNormResidualTwin,
  rmsNormRopeTwin,
  rmsNormTwin,
  ropeTwin,
  sparsegenTwin,
  swigluTwin,
} from './twins';

const eps = 1e-5;
const f32Only: Pick<OpCase, 'dtypes'> = { dtypes: ['f32'] };

const attentions: [label: string, lengths: number[], options: AttentionOptions][] = [
  ['bidirectional', [3, 1, 5], { heads: 2, kvHeads: 2, headDim: 8, causal: false }],
  ['causal', [4, 5], { heads: 2, kvHeads: 2, headDim: 8, causal: true }],
  ['grouped queries', [4, 3], { heads: 4, kvHeads: 2, headDim: 8, causal: true }],
  ['own scale', [5], { heads: 1, kvHeads: 1, headDim: 16, causal: false, scale: 0.7 }],
];

/** Attention over sequences of these lengths. */
export function attentionCase(
  label: string,
  lengths: readonly number[],
  options: AttentionOptions,
  large = false,
): OpCase {
  const cu = [0];
  for (const length of lengths) cu.push(cu[cu.length - 1]! + length);
  const tokens = cu[cu.length - 1]!;
  const { heads, kvHeads, headDim } = options;
  const kv = [tokens, kvHeads * headDim];
  return row(
    'attention',
    label,
    [data([tokens, heads * headDim]), data(kv), data(kv), integers(cu)],
    ([q, k, v, at]) => attention(q!, k!, v!, at!, options),
    { twin: ([q, k, v, at]) => attentionTwin(q!, k!, v!, at!, options), large },
  );
}

const ropeHeads = { heads: 2, headDim: 8 };
const invFreq = [1, 0.1, 0.01, 0.001];

export const fusedCases: OpCase[] = [
  row(
    'layerNorm',
    'weight and bias',
    [data([4, 33]), parameter([33]), parameter([33])],
    ([x, w, b]) => layerNorm(x!, w!, b!, eps),
    { twin: ([x, w, b]) => layerNormTwin(x!, w!, b!, eps) },
  ),
  row(
    'layerNorm',
    'residual',
    [data([4, 33]), parameter([33]), parameter([33]), data([4, 33])],
    ([x, w, b, residual]) => layerNorm(x!, w!, b!, eps, { residual: residual! }),
    { twin: ([x, w, b, residual]) => layerNormTwin(x!, w!, b!, eps, { residual: residual! }) },
  ),
  row('layerNorm', 'plain', [data([4, 33])], ([x]) => layerNorm(x!, null, null, eps), {
    twin: ([x]) => layerNormTwin(x!, null, null, eps),
  }),
  row('rmsNorm', 'weight', [data([4, 33]), parameter([33])], ([x, w]) => rmsNorm(x!, w!, eps), {
    twin: ([x, w]) => rmsNormTwin(x!, w!, eps),
  }),
  row(
    'rmsNormResidual',
    'both outputs used',
    [data([4, 33]), data([4, 33]), parameter([33])],
    ([x, residual, w]) => {
      const { y, sum } = rmsNormResidual(x!, residual!, w!, eps);
      return add(y, tanh(sum));
    },
    {
      twin: ([x, residual, w]) => {
        const { y, sum } = rmsNormResidualTwin(x!, residual!, w!, eps);
        return add(y, tanh(sum));
      },
    },
  ),
  row(
    'rope',
    'two heads of 8',
    [
      data([5, 16]),
      integers([0, 1, 2, 7, 300]),
      { shape: [4], fill: invFreq, role: 'f32', grad: false },
    ],
    ([x, at, freq]) => rope(x!, at!, freq!, ropeHeads),
    { twin: ([x, at, freq]) => ropeTwin(x!, at!, freq!, ropeHeads) },
  ),
  row(
    'rmsNormRope',
    'two heads of 8',
    [
      data([5, 16]),
      parameter([8]),
      integers([0, 1, 2, 7, 300]),
      { shape: [4], fill: invFreq, role: 'f32', grad: false },
    ],
    ([x, w, at, freq]) => rmsNormRope(x!, w!, eps, at!, freq!, ropeHeads),
    { twin: ([x, w, at, freq]) => rmsNormRopeTwin(x!, w!, eps, at!, freq!, ropeHeads) },
  ),
  ...attentions.map(([label, lengths, options]) => attentionCase(label, lengths, options)),
  row('swiglu', '[3, 37]', [data([3, 37]), data([3, 37])], ([g, u]) => swiglu(g!, u!), {
    twin: ([g, u]) => swigluTwin(g!, u!),
  }),
  row(
    'crossEntropy',
    'one ignored target',
    [data([4, 33]), integers([3, -1, 32, 0])],
    ([x, t]) => crossEntropy(x!, t!),
    { twin: ([x, t]) => crossEntropyTwin(x!, t!), ...f32Only },
  ),
  row(
    'sparsegen',
    'lambda 0.2',
    [data([6, 5]), parameter([], [0.2])],
    ([z, lambda]) => sparsegen(z!, lambda!),
    { twin: ([z, lambda]) => sparsegenTwin(z!, lambda!), ...f32Only },
  ),
  row(
    'sparsegen',
    'lambda -2, frozen',
    [data([6, 3]), frozen(parameter([1], [-2]))],
    ([z, lambda]) => sparsegen(z!, lambda!),
    { twin: ([z, lambda]) => sparsegenTwin(z!, lambda!), ...f32Only },
  ),
];
