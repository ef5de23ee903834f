import { launchLimits } from '../kernels';
import { type Call, type Reals, statCode } from './call';
import { addResidual, multiply, oriented, store } from './gemm';

/** Rank space of all members side by side. */
interface Rank {
  m: number;
  R: number;
  N: number;
  stat: number;
  gates: Reals | null;
  rowToGate: Int32Array | null;
  expert: Int32Array;
  scale: Float64Array;
  /** A gate of 0 takes no gradient. */
  sparse: boolean;
  /** scale · gate of token t and rank j. */
  factor: (t: number, j: number) => number;
}

interface Member {
  /** Index of its first buffer. */
  at: number;
  n: number;
  R: number;
  /** Its first rank in rank space. */
  first: number;
}

/** Buffers gates? and rowToGate? stand at 1; those of the members at `at`, `stride` each, rankScale and rankExpert fifth and sixth. */
function readGroup(c: Call, at: number, stride: number): { rank: Rank; members: Member[] } {
  const [m, N, G] = [c.arg(2), c.arg(4), c.arg(5)];
  const stat = statCode(c.arg(0));
  const gates = c.optional(1, stat, G * N);
  const rowToGate = gates ? c.ints(2, m) : null;
  const members: Member[] = [];
  const [scale, expert]: [number[], number[]] = [[], []];
  for (let i = 0; i < launchLimits.linears; i++) {
    const [n, R] = [c.arg(6 + 2 * i), c.arg(7 + 2 * i)];
    if (n === 0) continue;
    const member = { at: at + i * stride, n, R, first: scale.length };
    members.push(member);
    if (R === 0) continue;
    scale.push(...c.input(member.at + 4, stat, R));
    expert.push(...(gates ? c.ints(member.at + 5, R) : new Int32Array(R)));
  }
  if (rowToGate?.some((g) => g < 0 || g >= G)) c.fail('a rowToGate out of range', `0 to ${G - 1}`);
  if (gates && expert.some((e) => e < 0 || e >= N)) {
    c.fail('a rankExpert out of range', `0 to ${N - 1}`);
  }
  const factor = (t: number, j: number): number =>
    scale[j]! * (gates ? gates[rowToGate![t]! * N + expert[j]!]! : 1);
  const rank = {
    ...{ m, R: scale.length, N, stat, gates, rowToGate, factor },
    expert: Int32Array.from(expert),
    scale: Float64Array.from(scale),
    sparse: c.arg(12) !== 0,
  };
  return { rank, members };
}

function scaled(x: Float64Array | Reals, { m, R, factor }: Rank): Float64Array {
  const z = new Float64Array(m * R);
  for (let t = 0; t < m; t++) {
    for (let j = 0; j < R; j++) z[t * R + j] = x[t * R + j]! * factor(t, j);
  }
  return z;
}

/** Columns [first, first + n) of x [rows, cols]. */
function columns(x: Reals, rows: number, cols: number, first: number, n: number): Float64Array {
  const y = new Float64Array(rows * n);
  for (let t = 0; t < rows; t++) {
    for (let j = 0; j < n; j++) y[t * n + j] = x[t * cols + first + j]!;
  }
  return y;
}

function setColumns(x: Reals, cols: number, first: number, from: Reals, n: number): void {
  for (let i = 0; i < from.length; i++) {
    x[Math.floor(i / n) * cols + first + (i % n)] = from[i]!;
  }
}

function addTo(sum: Float64Array, x: Float64Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + x[i]!;
}

function adaptedLinear(c: Call): void {
  const [dtx, dtPack, m, k] = [c.arg(0), c.arg(1), c.arg(2), c.arg(3)];
  const { rank, members } = readGroup(c, 4, 8);
  const { R, stat } = rank;
  const x = c.input(0, dtx, m * k);
  const H = new Float64Array(m * R);
  for (const { at, R: own, first } of members) {
    if (own > 0)
      setColumns(H, R, first, multiply(x, c.input(at + 2, stat, own * k), m, own, k), own);
  }
  const Z = scaled(H, rank);
  for (const { at, n, R: own, first } of members) {
    const y = multiply(x, c.input(at + 1, dtPack, n * k), m, n, k);
    if (own > 0) {
      addTo(y, multiply(columns(Z, m, R, first, own), c.input(at + 3, stat, n * own), m, n, own));
    }
    addResidual(y, c.optional(at + 7, dtx, m * n));
    store(c.output(at, dtx, m * n), y, n, 1, 0, c.optional(at + 6, stat, n));
  }
  if (R > 0) c.output(3, stat, m * R).set(H);
}

/** dZ = dy B; dH = factor dZ; dx = Σ dy W + dH A + beta dx; dA = dHᵀ x; dB = dyᵀ Z; dgate sums scale H dZ. */
function adaptedLinearGrad(c: Call): void {
  const [dtx, dtPack, m, k] = [c.arg(0), c.arg(1), c.arg(2), c.arg(3)];
  const { rank, members } = readGroup(c, 6, 8);
  const { R, stat } = rank;
  const dZ = new Float64Array(m * R);
  for (const { at, n, R: own, first } of members) {
    if (own === 0 || !c.has(at)) continue;
    const B = c.input(at + 3, stat, n * own);
    const part = multiply(c.input(at, dtx, m * n), oriented(B, own, n, true), m, own, n);
    setColumns(dZ, R, first, part, own);
  }
  const dH = scaled(dZ, rank);
  const dx = c.optionalOutput(4, dtx, m * k);
  const sum = dx ? Float64Array.from(dx, (v) => (c.arg(13) === 0 ? 0 : c.arg(13) * v)) : null;
  const H = R > 0 ? c.input(3, stat, m * R) : new Float64Array(0);
  const Z = scaled(H, rank);
  const xT = R > 0 ? oriented(c.input(0, dtx, m * k), k, m, true) : H;
  for (const { at, n, R: own, first } of members) {
    if (!c.has(at)) continue;
    const dy = c.input(at, dtx, m * n);
    if (sum) addTo(sum, multiply(dy, c.input(at + 1, dtPack, n * k), m, k, n));
    if (own === 0) continue;
    const mine = columns(dH, m, R, first, own);
    const A = c.input(at + 2, stat, own * k);
    if (sum) addTo(sum, multiply(mine, oriented(A, k, own, true), m, k, own));
    c.optionalOutput(at + 6, stat, own * k)?.set(multiply(turned(mine, own, m), xT, own, k, m));
    if (c.has(at + 7)) {
      const z = turned(columns(Z, m, R, first, own), own, m);
      c.output(at + 7, stat, n * own).set(multiply(oriented(dy, n, m, true), z, n, own, m));
    }
  }
  if (dx) dx.set(sum!);
  const { gates, rowToGate, expert, scale, sparse, N } = rank;
  if (gates && c.has(5)) {
    const dGates = new Float64Array(gates.length);
    for (let t = 0; t < m; t++) {
      for (let j = 0; j < R; j++) {
        const g = rowToGate![t]! * N + expert[j]!;
        if (sparse && gates[g] === 0) continue;
        dGates[g] = dGates[g]! + scale[j]! * H[t * R + j]! * dZ[t * R + j]!;
      }
    }
    c.output(5, stat, gates.length).set(dGates);
  }
}

/** Transpose of x [cols, rows] into [rows, cols]. */
function turned(x: Float64Array, rows: number, cols: number): Reals {
  return oriented(x, rows, cols, true);
}

export const adapted = { adapted_linear: adaptedLinear, adapted_linear_grad: adaptedLinearGrad };
