import { type Call, type Reals, statCode } from './call';

/** Row-major [rows, cols] from x, which is stored transposed when trans is set. */
export function oriented(x: Reals, rows: number, cols: number, trans: boolean): Reals {
  if (!trans) return x;
  const y = x.slice();
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < cols; j++) y[r * cols + j] = x[j * rows + r]!;
  }
  return y;
}

/** out[m, n] = a [m, k] · bᵀ with b [n, k], summed in f64; four outputs at a time share the reads of a. */
export function multiply(a: Reals, b: Reals, m: number, n: number, k: number): Float64Array {
  const out = new Float64Array(m * n);
  const left = a instanceof Float64Array ? a : Float64Array.from(a);
  const right = b instanceof Float64Array ? b : Float64Array.from(b);
  for (let i = 0; i < m; i++) {
    let j = 0;
    for (; j + 4 <= n; j += 4) {
      const b0 = j * k;
      const b1 = b0 + k;
      const b2 = b1 + k;
      const b3 = b2 + k;
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      for (let p = 0, ai = i * k; p < k; p++, ai++) {
        const x = left[ai]!;
        s0 += x * right[b0 + p]!;
        s1 += x * right[b1 + p]!;
        s2 += x * right[b2 + p]!;
        s3 += x * right[b3 + p]!;
      }
      const o = i * n + j;
      out[o] = s0;
      out[o + 1] = s1;
      out[o + 2] = s2;
      out[o + 3] = s3;
    }
    for (; j < n; j++) {
      let sum = 0;
      for (let p = 0, ai = i * k, bi = j * k; p < k; p++) sum += left[ai + p]! * right[bi + p]!;
      out[i * n + j] = sum;
    }
  }
  return out;
}

/** c = alpha op(a) op(b) + beta c + bias; op(a) is [m, k], op(b) is [k, n]. */
function gemm(c: Call): void {
  const [dta, dtb, dtc, m, n, k, transA, transB, alpha, beta] = c.numbers(10);
  const a = oriented(c.input(0, dta, m * k), m, k, transA !== 0);
  const b = oriented(c.input(1, dtb, k * n), n, k, transB === 0);
  const bias = c.optional(3, statCode(dtc), n);
  store(c.output(2, dtc, m * n), multiply(a, b, m, n, k), n, alpha, beta, bias);
}

/** y = alpha product + beta y + bias. */
export function store(
  y: Reals,
  product: Float64Array,
  n: number,
  alpha: number,
  beta: number,
  bias: Reals | null,
): void {
  for (let i = 0; i < product.length; i++) {
    const old = beta === 0 ? 0 : beta * y[i]!;
    y[i] = alpha * product[i]! + old + (bias ? bias[i % n]! : 0);
  }
}

/** The pack is the weight itself, [n, k] row-major, or its transpose [k, n], in the pack's dtype. */
function packWeight(c: Call): void {
  const [dtw, dtPack, n, k, trans] = c.numbers(5);
  const w = c.input(0, dtw, n * k);
  c.output(1, dtPack, n * k).set(oriented(w, k, n, trans !== 0));
}

/** y = x · packedᵀ + bias + residual, which may be y. */
function linearPacked(c: Call): void {
  const [dtx, dtPack, m, n, k] = c.numbers(5);
  const x = c.input(0, dtx, m * k);
  const w = c.input(1, dtPack, n * k);
  const bias = c.optional(2, statCode(dtx), n);
  const sum = multiply(x, w, m, n, k);
  addResidual(sum, c.optional(3, dtx, m * n));
  store(c.output(4, dtx, m * n), sum, n, 1, 0, bias);
}

export function addResidual(sum: Float64Array, residual: Reals | null): void {
  if (residual) for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + residual[i]!;
}

export const gemmFamily = { gemm, pack_weight: packWeight, linear_packed: linearPacked };
