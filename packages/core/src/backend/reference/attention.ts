import { type Call, type Reals, statCode } from './call';

interface Dims {
  dt: number;
  tokens: number;
  seqs: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  causal: boolean;
  scale: number;
}

function dims(c: Call): Dims {
  const [dt, tokens, seqs, heads, kvHeads, headDim, causal, scale] = c.numbers(8);
  return { dt, tokens, seqs, heads, kvHeads, headDim, causal: causal !== 0, scale };
}

function dot(a: Reals, ai: number, b: Reals, bi: number, n: number): number {
  let sum = 0;
  for (let d = 0; d < n; d++) sum += a[ai + d]! * b[bi + d]!;
  return sum;
}

/** Calls visit(query row, head, first key, end key) for every query of every sequence. */
function eachQuery(
  d: Dims,
  cu: Int32Array,
  visit: (t: number, h: number, from: number, to: number) => void,
): void {
  for (let s = 0; s < d.seqs; s++) {
    for (let h = 0; h < d.heads; h++) {
      for (let t = cu[s]!; t < cu[s + 1]!; t++) visit(t, h, cu[s]!, d.causal ? t + 1 : cu[s + 1]!);
    }
  }
}

/** o = softmax(scale q kᵀ) v within each sequence; lse is log Σ exp of the scaled scores. */
function attention(c: Call): void {
  const d = dims(c);
  const { dt, tokens, heads, kvHeads, headDim, scale } = d;
  const [qDim, kvDim, group] = [heads * headDim, kvHeads * headDim, heads / kvHeads];
  const q = c.input(0, dt, tokens * qDim);
  const k = c.input(1, dt, tokens * kvDim);
  const v = c.input(2, dt, tokens * kvDim);
  const o = c.output(4, dt, tokens * qDim);
  const lse = c.optionalOutput(5, statCode(dt), heads * tokens);
  const scores = new Float64Array(tokens);
  const mix = new Float64Array(headDim);
  eachQuery(d, c.ints(3, d.seqs + 1), (t, h, from, to) => {
    const qi = t * qDim + h * headDim;
    const kvHead = Math.floor(h / group) * headDim;
    let max = Number.NEGATIVE_INFINITY;
    for (let j = from; j < to; j++) {
      const score = scale * dot(q, qi, k, j * kvDim + kvHead, headDim);
      scores[j] = score;
      if (score > max) max = score;
    }
    let sum = 0;
    mix.fill(0);
    for (let j = from; j < to; j++) {
      const p = Math.exp(scores[j]! - max);
      const vj = j * kvDim + kvHead;
      sum += p;
      for (let e = 0; e < headDim; e++) mix[e] = mix[e]! + p * v[vj + e]!;
    }
    for (let e = 0; e < headDim; e++) o[qi + e] = mix[e]! / sum;
    if (lse) lse[h * tokens + t] = max + Math.log(sum);
  });
}

/** P from lse; dv = Pᵀ do; dS = P (do vᵀ − do·o); dq = scale dS k; dk = scale dSᵀ q. */
function attentionGrad(c: Call): void {
  const d = dims(c);
  const { dt, tokens, heads, kvHeads, headDim, scale } = d;
  const [qDim, kvDim, group] = [heads * headDim, kvHeads * headDim, heads / kvHeads];
  const dout = c.input(0, dt, tokens * qDim);
  const q = c.input(1, dt, tokens * qDim);
  const k = c.input(2, dt, tokens * kvDim);
  const v = c.input(3, dt, tokens * kvDim);
  const o = c.input(4, dt, tokens * qDim);
  const lse = c.input(5, statCode(dt), heads * tokens);
  const dq = new Float64Array(tokens * qDim);
  const dk = new Float64Array(tokens * kvDim);
  const dv = new Float64Array(tokens * kvDim);
  eachQuery(d, c.ints(6, d.seqs + 1), (t, h, from, to) => {
    const qi = t * qDim + h * headDim;
    const kvHead = Math.floor(h / group) * headDim;
    const delta = dot(dout, qi, o, qi, headDim);
    for (let j = from; j < to; j++) {
      const kj = j * kvDim + kvHead;
      const p = Math.exp(scale * dot(q, qi, k, kj, headDim) - lse[h * tokens + t]!);
      const ds = scale * p * (dot(dout, qi, v, kj, headDim) - delta);
      for (let e = 0; e < headDim; e++) {
        dv[kj + e] = dv[kj + e]! + p * dout[qi + e]!;
        dq[qi + e] = dq[qi + e]! + ds * k[kj + e]!;
        dk[kj + e] = dk[kj + e]! + ds * q[qi + e]!;
      }
    }
  });
  c.output(7, dt, dq.length).set(dq);
  c.output(8, dt, dk.length).set(dk);
  c.output(9, dt, dv.length).set(dv);
}

/** Rotate-half: (x1, x2) of a head's halves becomes (x1 cos − x2 sin, x2 cos + x1 sin). */
function rope(c: Call): void {
  const [dt, tokens, heads, headDim, sign] = c.numbers(5);
  const half = headDim / 2;
  const x = c.input(0, dt, tokens * heads * headDim);
  const positions = c.ints(1, tokens);
  const invFreq = c.input(2, 0, half);
  const y = c.output(3, dt, tokens * heads * headDim);
  for (let t = 0; t < tokens; t++) {
    for (let f = 0; f < half; f++) {
      const angle = Math.fround(positions[t]! * invFreq[f]!);
      const cos = Math.cos(angle);
      const sin = sign * Math.sin(angle);
      for (let h = 0; h < heads; h++) {
        const i = (t * heads + h) * headDim + f;
        const [a, b] = [x[i]!, x[i + half]!];
        y[i] = a * cos - b * sin;
        y[i + half] = b * cos + a * sin;
      }
    }
  }
}

export const attentionFamily = { rope, attention, attention_grad: attentionGrad };
