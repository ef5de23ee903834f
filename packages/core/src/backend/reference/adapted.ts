import { type Call, type Reals, statCode } from './call';
import { multiply, oriented, store } from './gemm';

interface Rank {
  m: number;
  n: number;
  k: number;
  R: number;
  N: number;
  stat: number;
  /** scale · gate of token t and rank j. */
  factor: (t: number, j: number) => number;
  gates: Reals | null;
  rowToGate: Int32Array | null;
  rankExpert: Int32Array | null;
  scale: Reals;
}

/** Buffers of the gate part start at index `at`: gates?, rowToGate?, rankScale, rankExpert?. */
function readRank(c: Call, at: number): Rank {
  const [dtx, , m, n, k, R, N, G] = c.args as number[] as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const stat = statCode(dtx);
  const gates = c.optional(at, stat, G * N);
  const rowToGate = gates ? c.ints(at + 1, m) : null;
  const scale = c.input(at + 2, stat, R);
  const rankExpert = gates ? c.ints(at + 3, R) : null;
  if (rowToGate?.some((g) => g < 0 || g >= G)) c.fail('a rowToGate out of range', `0 to ${G - 1}`);
  if (rankExpert?.some((e) => e < 0 || e >= N))
    c.fail('a rankExpert out of range', `0 to ${N - 1}`);
  const factor = (t: number, j: number): number =>
    scale[j]! * (gates ? gates[rowToGate![t]! * N + rankExpert![j]!]! : 1);
  return { m, n, k, R, N, stat, factor, gates, rowToGate, rankExpert, scale };
}

function scaled(x: Float64Array | Reals, { m, R, factor }: Rank): Float64Array {
  const z = new Float64Array(m * R);
  for (let t = 0; t < m; t++) {
    for (let j = 0; j < R; j++) z[t * R + j] = x[t * R + j]! * factor(t, j);
  }
  return z;
}

function adaptedLinear(c: Call): void {
  const [dtx, dtPack] = [c.arg(0), c.arg(1)];
  const rank = readRank(c, 5);
  const { m, n, k, R, stat } = rank;
  const x = c.input(0, dtx, m * k);
  const w = c.input(1, dtPack, n * k);
  const bias = c.optional(2, stat, n);
  const A = c.input(3, stat, R * k);
  const B = c.input(4, stat, n * R);
  const H = multiply(x, A, m, R, k);
  const product = multiply(x, w, m, n, k);
  const delta = multiply(scaled(H, rank), B, m, n, R);
  for (let i = 0; i < product.length; i++) product[i] = product[i]! + delta[i]!;
  store(c.output(9, dtx, m * n), product, n, 1, 0, bias);
  c.output(10, stat, m * R).set(H);
}

/** dZ = dy B; dH = factor dZ; dx = dy W + dH A; dA = dHᵀ x; dB = dyᵀ Z; dgate sums scale H dZ. */
function adaptedLinearGrad(c: Call): void {
  const [dtx, dtPack] = [c.arg(0), c.arg(1)];
  const rank = readRank(c, 5);
  const { m, n, k, R, N, stat } = rank;
  const dy = c.input(0, dtx, m * n);
  const x = c.input(1, dtx, m * k);
  const A = c.input(3, stat, R * k);
  const B = c.input(4, stat, n * R);
  const H = c.input(9, stat, m * R);
  const dZ = multiply(dy, oriented(B, R, n, true), m, R, n);
  const dH = scaled(dZ, rank);
  const dx = c.optionalOutput(10, dtx, m * k);
  if (dx) {
    const packed = c.input(2, dtPack, n * k);
    const product = multiply(dy, packed, m, k, n);
    const low = multiply(dH, oriented(A, k, R, true), m, k, R);
    for (let i = 0; i < product.length; i++) product[i] = product[i]! + low[i]!;
    dx.set(product);
  }
  const xT = c.has(11) ? oriented(x, k, m, true) : x;
  c.optionalOutput(11, stat, R * k)?.set(multiply(turned(dH, R, m), xT, R, k, m));
  if (c.has(12)) {
    const Z = scaled(H, rank);
    c.output(12, stat, n * R).set(multiply(oriented(dy, n, m, true), turned(Z, R, m), n, R, m));
  }
  const { gates, rowToGate, rankExpert, scale } = rank;
  if (gates && c.has(13)) {
    const dGates = new Float64Array(gates.length);
    for (let t = 0; t < m; t++) {
      for (let j = 0; j < R; j++) {
        const g = rowToGate![t]! * N + rankExpert![j]!;
        dGates[g] = dGates[g]! + scale[j]! * H[t * R + j]! * dZ[t * R + j]!;
      }
    }
    c.output(13, stat, gates.length).set(dGates);
  }
}

/** Transpose of x [cols, rows] into [rows, cols]. */
function turned(x: Float64Array, rows: number, cols: number): Reals {
  return oriented(x, rows, cols, true);
}

export const adapted = { adapted_linear: adaptedLinear, adapted_linear_grad: adaptedLinearGrad };
