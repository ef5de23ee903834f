/** Shapes of MiniLM and of Qwen3-0.6B layers, where blocked and threaded paths run. */
import { rope } from '../ops/attention';
import { add, mul } from '../ops/binary';
import { crossEntropy } from '../ops/cross-entropy';
import { gatherRows } from '../ops/gather';
import { layerNorm } from '../ops/layer-norm';
import { matmul } from '../ops/matmul';
import { l2Normalize, segmentMean } from '../ops/pooling';
import { rmsNorm } from '../ops/rms-norm';
import { rmsNormRope } from '../ops/rms-norm-rope';
import { softmax } from '../ops/softmax';
import { swiglu } from '../ops/swiglu';
import { gelu } from '../ops/unary';
import { data, type InputSpec, integers, type OpCase, parameter, row } from './case';
import { attentionCase } from './cases-fused';
import { adaptedCase, feedForwardCase, linearCase } from './cases-linear';

const large = true;
const tokens = 520;
const minilm = { heads: 3, kvHeads: 3, headDim: 32, causal: false };
const qwen = { heads: 4, kvHeads: 2, headDim: 128, causal: true };

const qwenHeads = { heads: 4, headDim: 128 };
const positions = integers(Array.from({ length: 150 }, (_, t) => t * 7));
const frequencies: InputSpec = {
  shape: [64],
  fill: Array.from({ length: 64 }, (_, i) => 1e6 ** (-i / 64)),
  role: 'f32',
  grad: false,
};

export const largeCases: OpCase[] = [
  row('gelu', '[520, 384]', [data([tokens, 384])], ([x]) => gelu(x!), { large }),
  row('add', 'row [520, 384]', [data([tokens, 384]), parameter([384])], ([x, b]) => add(x!, b!), {
    large,
  }),
  row('mul', '[520, 384]', [data([tokens, 384]), data([tokens, 384])], ([a, b]) => mul(a!, b!), {
    large,
  }),
  row('softmax', '[64, 1000]', [data([64, 1000])], ([x]) => softmax(x!), { large }),
  row(
    'layerNorm',
    'residual [520, 384]',
    [data([tokens, 384]), parameter([384]), parameter([384]), data([tokens, 384])],
    ([x, w, b, residual]) => layerNorm(x!, w!, b!, 1e-12, { residual: residual! }),
    { large },
  ),
  row(
    'rmsNorm',
    '[300, 1024]',
    [data([300, 1024]), parameter([1024])],
    ([x, w]) => rmsNorm(x!, w!, 1e-6),
    { large },
  ),
  row(
    'rope',
    'four heads of 128',
    [data([150, 512]), positions, frequencies],
    ([x, at, freq]) => rope(x!, at!, freq!, qwenHeads),
    { large },
  ),
  row(
    'rmsNormRope',
    'four heads of 128',
    [data([150, 512]), parameter([128]), positions, frequencies],
    ([x, w, at, freq]) => rmsNormRope(x!, w!, 1e-6, at!, freq!, qwenHeads),
    { large },
  ),
  row('swiglu', '[300, 1024]', [data([300, 1024]), data([300, 1024])], ([g, u]) => swiglu(g!, u!), {
    large,
  }),
  row(
    'crossEntropy',
    '[33, 5000]',
    [data([33, 5000]), integers(Array.from({ length: 33 }, (_, i) => i * 150 - 1))],
    ([x, t]) => crossEntropy(x!, t!),
    { dtypes: ['f32'], large },
  ),
  row(
    'gatherRows',
    '700 of 100 rows',
    [data([100, 384]), integers(Array.from({ length: 700 }, (_, i) => (i * i) % 100))],
    ([x, i]) => gatherRows(x!, i!),
    { large },
  ),
  row(
    'segmentMean',
    'ragged [520, 384]',
    [data([tokens, 384]), integers([0, 1, 130, 131, 400, 520])],
    ([x, cu]) => segmentMean(x!, cu!),
    { large },
  ),
  row('l2Normalize', '[64, 384]', [data([64, 384])], ([x]) => l2Normalize(x!), { large }),
  row(
    'matmul',
    'similarities [64, 384] x [192, 384]T',
    [data([64, 384]), data([192, 384])],
    ([a, b]) => matmul(a!, b!, { transposeB: true }),
    { large },
  ),
  linearCase('[520, 384] to 384', tokens, 384, 384, large),
  linearCase('odd sizes', 131, 389, 257, large),
  linearCase('one row', 1, 384, 384, large),
  adaptedCase('LoRA rank 8', [tokens, 384, 384, 8], false, large),
  adaptedCase('gated rank 48', [tokens, 384, 192, 48], true, large),
  feedForwardCase('gelu', [tokens, 384, 768], { large }),
  feedForwardCase('swiglu', [tokens, 192, 384], { large }),
  attentionCase('MiniLM, ragged', [1, 130, 17, 64, 65], minilm, large),
  attentionCase('Qwen3, causal, grouped', [129, 3, 64], qwen, large),
  attentionCase('head of 64, causal', [100, 31], { ...qwen, headDim: 64, kvHeads: 4 }, large),
];
