import { bf16ToFloat32, float32ToBf16 } from '../../bf16';
import { dtypeCode } from '../../dtype';
import { type Call, type Reals, statCode } from './call';
import { fitScale, nearestCode, roundEven } from './fit-scale';
import { activations, SWIGLU } from './feed-forward';
import { addResidual, multiply, oriented, store } from './gemm';

/** Weights and rows whose largest value is below it become zeros, as their scale would lose bits. */
const smallest = 2 ** -100;

/** In memory: q as int8 [n, k], padded to 4 bytes, then scales f32 [n, groups]. */
interface Stored {
  bits: number;
  n: number;
  k: number;
  /** Inputs that share a scale. */
  group: number;
  groups: number;
  q: Int8Array;
  scales: Float32Array;
}

function groupOf(bits: number, group: number, k: number): number {
  return bits === 8 ? Math.max(k, 1) : group;
}

export function quantizedBytes(bits: number, group: number, n: number, k: number): number {
  const groups = Math.ceil(k / groupOf(bits, group, k));
  return Math.ceil((n * k) / 4) * 4 + n * groups * 4;
}

function stored(c: Call, i: number, bits: number, group: number, n: number, k: number): Stored {
  if (bits !== 8 && bits !== 4) c.fail(`${bits} bits`, '8 or 4');
  const buffer = c.bytes(i, quantizedBytes(bits, group, n, k));
  const size = groupOf(bits, group, k);
  const groups = Math.ceil(k / size);
  const q = new Int8Array(buffer, 0, n * k);
  const scales = new Float32Array(buffer, Math.ceil((n * k) / 4) * 4, n * groups);
  return { bits, n, k, group: size, groups, q, scales };
}

/** Largest |x|; NaN if there is one. */
function largest(x: ArrayLike<number>, start: number, end: number): number {
  let most = 0;
  for (let i = start; i < end; i++) most = Math.max(most, Math.abs(Math.fround(x[i]!)));
  return most;
}

function quantizeWeight(c: Call): void {
  const [dtw, bits, size, n, k] = c.numbers(5);
  const w = c.input(0, dtw, n * k);
  const { group, groups, q, scales } = stored(c, 1, bits, size, n, k);
  for (let row = 0; row < n; row++) {
    for (let g = 0; g < groups; g++) {
      const start = row * k + g * group;
      const end = Math.min(start + group, (row + 1) * k);
      const most = largest(w, start, end);
      if (!Number.isFinite(most)) c.fail('a NaN or infinite weight', 'finite weights');
      const tiny = most < smallest;
      const scale = tiny ? 0 : bits === 4 ? fitScale(w, start, end) : Math.fround(most / 127);
      scales[row * groups + g] = scale;
      const near = bits === 4 ? nearestCode : roundEven;
      for (let i = start; i < end; i++) {
        q[i] = scale === 0 ? 0 : near(Math.fround(Math.fround(w[i]!) / scale));
      }
    }
  }
}

/** The dequantised weight [n, k] as activations of this dtype see it. */
function values({ n, k, group, groups, q, scales }: Stored, dtype: number): Float32Array {
  const w = new Float32Array(n * k);
  for (let row = 0; row < n; row++) {
    for (let i = 0; i < k; i++) {
      w[row * k + i] = q[row * k + i]! * scales[row * groups + Math.floor(i / group)]!;
    }
  }
  return dtype === 1 ? bf16ToFloat32(float32ToBf16(w)) : w;
}

function dequantizeWeight(c: Call): void {
  const [bits, group, dtw, n, k] = c.numbers(5);
  c.output(1, dtw, n * k).set(values(stored(c, 0, bits, group, n, k), dtw));
}

function expandQuantized(c: Call): void {
  const [bits, group, dtPack, n, k, trans] = c.numbers(6);
  const w = values(stored(c, 0, bits, group, n, k), dtPack);
  c.output(1, dtPack, n * k).set(oriented(w, k, n, trans !== 0));
}

/** Rows of x in 8 bits, and their scales: NaN for a row with NaN or an infinity. */
function quantizeRows(x: Reals, m: number, k: number): { q: Float64Array; scales: Float32Array } {
  const q = new Float64Array(m * k);
  const scales = new Float32Array(m);
  for (let row = 0; row < m; row++) {
    const most = largest(x, row * k, (row + 1) * k);
    scales[row] = Number.isFinite(most) ? (most < smallest ? 0 : most / 127) : Number.NaN;
    if (!Number.isFinite(most) || most < smallest) continue;
    const inverse = Math.fround(127 / most);
    for (let i = row * k; i < (row + 1) * k; i++) {
      q[i] = roundEven(Math.fround(Math.fround(x[i]!) * inverse));
    }
  }
  return { q, scales };
}

/** y = act(x) wT + bias + residual of each weight, or x w with trans; a residual may be y. */
function linearQuantized(c: Call): void {
  const [dtx, bits, group, integer, trans, activation, m, k, ...sizes] = c.numbers(11);
  if (integer && trans) c.fail('8-bit activations', 'the forward product');
  const depth = trans ? sizes[0]! : k;
  const x = activated(c, dtx, activation, m * depth);
  const rows = integer ? quantizeRows(x, m, k) : null;
  const count = sizes.indexOf(0) < 0 ? sizes.length : sizes.indexOf(0);
  if (count === 0 || (trans && count > 1)) c.fail(`${count} weights`, '1 to 3, one with trans');
  sizes.slice(0, count).forEach((n, i) => {
    const at = 2 + 4 * i;
    const lanes = trans ? k : n;
    const weight = stored(c, at, bits, group, n, k);
    const bias = c.optional(at + 1, statCode(dtx), lanes);
    const residual = c.optional(at + 2, dtx, m * lanes);
    const y = c.output(at + 3, dtx, m * lanes);
    if (rows) {
      putIntegers(y, rows, weight, m, bias, residual);
      return;
    }
    const w = oriented(values(weight, dtx), k, n, trans !== 0);
    const sum = multiply(x, w, m, lanes, depth);
    addResidual(sum, residual);
    store(y, sum, lanes, 1, 0, bias);
  });
}

/** x, or x after an activation, in x's dtype. */
function activated(c: Call, dtx: number, activation: number, size: number): Reals {
  const x = c.input(0, dtx, size);
  if (activation < 0) return x;
  const { of } = activations[activation]!;
  const gate = activation === SWIGLU ? c.input(1, dtx, size) : null;
  const active = Float64Array.from(x, (u, i) => (gate ? of(gate[i]!) * u : of(u)));
  if (dtx === dtypeCode.f64) return active;
  return dtx === dtypeCode.bf16
    ? bf16ToFloat32(float32ToBf16(Float32Array.from(active)))
    : Float32Array.from(active);
}

/** Integer products with one rounding to f32 for scale and bias, one for the residual. */
function putIntegers(
  y: Reals,
  rows: { q: Float64Array; scales: Float32Array },
  weight: Stored,
  m: number,
  bias: Reals | null,
  residual: Reals | null,
): void {
  const { n, bits } = weight;
  groupedSums(rows.q, weight, m).forEach((sum, i) => {
    const rowScale = rows.scales[Math.floor(i / n)]!;
    // int8 has one rounded product of scales; the sums of int4 have their groups' scales in them.
    const scale = bits === 8 ? Math.fround(weight.scales[i % n]! * rowScale) : rowScale;
    const scaled = Math.fround(sum * scale + (bias ? bias[i % n]! : 0));
    y[i] = residual ? Math.fround(scaled + residual[i]!) : scaled;
  });
}

/**
 * Σ x q over the inputs as f32 [m, n]: exact integers for int8; for int4 the sums of the groups times their scales,
 * added in the order of the groups.
 */
function groupedSums(x: Float64Array, weight: Stored, m: number): Float64Array {
  const { n, k, group, groups, q, scales } = weight;
  if (weight.bits === 8) {
    return multiply(x, Float64Array.from(q), m, n, k).map(Math.fround);
  }
  const sums = new Float64Array(m * n);
  for (let i = 0; i < m * n; i++) {
    const [row, column] = [Math.floor(i / n) * k, (i % n) * k];
    for (let g = 0; g < groups; g++) {
      let sum = 0;
      for (let l = g * group; l < Math.min((g + 1) * group, k); l++) {
        sum += x[row + l]! * q[column + l]!;
      }
      sums[i] = Math.fround(Math.fround(sum) * scales[(i % n) * groups + g]! + sums[i]!);
    }
  }
  return sums;
}

export const quantized = {
  quantize_weight: quantizeWeight,
  dequantize_weight: dequantizeWeight,
  expand_quantized: expandQuantized,
  linear_quantized: linearQuantized,
};
