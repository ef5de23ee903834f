/** Fused ops written as compositions of plain ones: their definition and their test oracle. */
import { add, div, mul, sub } from '../ops/binary';
import { gatherRows } from '../ops/gather';
import { concat, sliceCols, sliceRows } from '../ops/layout';
import type { LowRank } from '../ops/shared/low-rank';
import { matmul } from '../ops/matmul';
import { topKMask } from '../ops/routing';
import { logSoftmax, softmax } from '../ops/softmax';
import { mean, sum } from '../ops/sum';
import { addScalar, neg, relu, scale, silu, sqrt, square } from '../ops/unary';
import { tensor } from '../tensor/create';
import type { Tensor } from '../tensor/tensor';

/** A column [..., 1] from the statistics of rows. */
function column(t: Tensor, like: Tensor): Tensor {
  return t.reshape([...like.shape.slice(0, -1), 1]);
}

function constant(data: ArrayLike<number>, shape: number[], like: Tensor): Tensor {
  return tensor(data, shape, { dtype: like.dtype, backend: like.backend });
}

/** Twin of layerNorm. */
export function layerNormTwin(
  x: Tensor,
  weight: Tensor | null,
  bias: Tensor | null,
  eps: number,
  options: { residual?: Tensor | null } = {},
): Tensor {
  const s = options.residual ? add(x, options.residual) : x;
  const centred = sub(s, column(mean(s, { axis: -1 }), s));
  const variance = mean(square(centred), { axis: -1 });
  const hat = div(centred, column(sqrt(addScalar(variance, eps)), s));
  const scaled = weight ? mul(hat, weight) : hat;
  return bias ? add(scaled, bias) : scaled;
}

/** Twin of rmsNorm. */
export function rmsNormTwin(x: Tensor, weight: Tensor | null, eps: number): Tensor {
  const rms = sqrt(addScalar(mean(square(x), { axis: -1 }), eps));
  const hat = div(x, column(rms, x));
  return weight ? mul(hat, weight) : hat;
}

/** Twin of rmsNormResidual. */
export function rmsNormResidualTwin(
  x: Tensor,
  residual: Tensor,
  weight: Tensor | null,
  eps: number,
): { y: Tensor; sum: Tensor } {
  const s = add(x, residual);
  return { y: rmsNormTwin(s, weight, eps), sum: s };
}

/** Twin of swiglu. */
export function swigluTwin(gate: Tensor, up: Tensor): Tensor {
  return mul(silu(gate), up);
}

/** Twin of crossEntropy: minus the log softmax at the target. */
export function crossEntropyTwin(logits: Tensor, targets: Tensor): Tensor {
  const [rows, cols] = logits.shape as [number, number];
  const hot = new Float64Array(rows * cols);
  targets.toArray().forEach((target: number, r: number) => {
    if (target >= 0) hot[r * cols + target] = 1;
  });
  return neg(sum(mul(logSoftmax(logits), constant(hot, [rows, cols], logits)), { axis: -1 }));
}

/** Twin of sparsegen: τ is the largest of (Σ of the k largest − (1 − λ)) / k over k. */
export function sparsegenTwin(z: Tensor, lambda: Tensor): Tensor {
  const [rows, cols] = z.shape as [number, number];
  const budget = addScalar(neg(lambda.reshape([1])), 1);
  const candidate = (k: number): Tensor =>
    scale(sub(sum(mul(z, topKMask(z, k)), { axis: -1 }), budget), 1 / k);
  let tau = candidate(1);
  for (let k = 2; k <= cols; k++) tau = add(tau, relu(sub(candidate(k), tau)));
  return div(relu(sub(z, tau.reshape([rows, 1]))), budget);
}

/** Twin of rope: x cos + rotateHalf(x) sin, head by head. */
export function ropeTwin(
  x: Tensor,
  positions: Tensor,
  invFreq: Tensor,
  { heads, headDim }: { heads: number; headDim: number },
): Tensor {
  const half = headDim / 2;
  const at = positions.toArray();
  const freq = invFreq.toArray();
  const table = (f: (angle: number) => number): Tensor => {
    const data = Array.from({ length: at.length * half }, (_, i) =>
      f(Math.fround(at[Math.floor(i / half)]! * freq[i % half]!)),
    );
    return constant(data, [at.length, half], x);
  };
  const [cos, sin] = [table(Math.cos), table(Math.sin)];
  const parts: Tensor[] = [];
  for (let h = 0; h < heads; h++) {
    const a = sliceCols(x, h * headDim, h * headDim + half);
    const b = sliceCols(x, h * headDim + half, (h + 1) * headDim);
    parts.push(sub(mul(a, cos), mul(b, sin)), add(mul(b, cos), mul(a, sin)));
  }
  return concat(parts, -1);
}

/** Twin of rmsNormRope. */
export function rmsNormRopeTwin(
  x: Tensor,
  weight: Tensor,
  eps: number,
  positions: Tensor,
  invFreq: Tensor,
  options: { heads: number; headDim: number },
): Tensor {
  const byHead = x.reshape([x.shape[0]! * options.heads, options.headDim]);
  return ropeTwin(rmsNormTwin(byHead, weight, eps).reshape(x.shape), positions, invFreq, options);
}

/** Twin of attention: dense scores, one sequence and head at a time. */
export function attentionTwin(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  cuSeqlens: Tensor,
  options: { heads: number; kvHeads: number; headDim: number; causal: boolean; scale?: number },
): Tensor {
  const { heads, kvHeads, headDim: d, causal, scale: factor = 1 / Math.sqrt(d) } = options;
  const cu = cuSeqlens.toArray();
  const sequences: Tensor[] = [];
  for (let s = 0; s + 1 < cu.length; s++) {
    const [start, end] = [cu[s]!, cu[s + 1]!];
    const n = end - start;
    if (n === 0) continue;
    const mask = Array.from({ length: n * n }, (_, i) =>
      causal && i % n > Math.floor(i / n) ? -1e9 : 0,
    );
    const parts: Tensor[] = [];
    for (let h = 0; h < heads; h++) {
      const kv = Math.floor((h * kvHeads) / heads);
      const block = (t: Tensor, head: number): Tensor =>
        sliceCols(sliceRows(t, start, end), head * d, (head + 1) * d);
      const scores = scale(matmul(block(q, h), block(k, kv), { transposeB: true }), factor);
      const p = softmax(add(scores, constant(mask, [n, n], q)));
      parts.push(matmul(p, block(v, kv)));
    }
    sequences.push(concat(parts, -1));
  }
  return concat(sequences, 0);
}

/** Twin of adaptedLinear, on a weight [out, in] as a plain tensor. */
export function adaptedLinearTwin(
  x: Tensor,
  w: Tensor,
  bias: Tensor | null,
  { A, B, rankScale, rankExpert, gates, rowToGate }: LowRank,
): Tensor {
  const H = matmul(x, A, { transposeB: true });
  let Z = mul(H, rankScale);
  if (gates && rowToGate && rankExpert) {
    const [N, R] = [gates.shape[1]!, A.shape[0]!];
    const pick = new Float64Array(N * R);
    rankExpert.toArray().forEach((e: number, j: number) => {
      pick[e * R + j] = 1;
    });
    Z = mul(Z, matmul(gatherRows(gates, rowToGate), constant(pick, [N, R], gates)));
  }
  const y = add(matmul(x, w, { transposeB: true }), matmul(Z, B, { transposeB: true }));
  return bias ? add(y, bias) : y;
}
