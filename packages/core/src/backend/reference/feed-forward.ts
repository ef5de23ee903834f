import { type Activation, gelu, geluTanh, relu, silu } from './activation';
import { type Call, statCode } from './call';
import { addResidual, multiply, store } from './gemm';

/** By activation code; silu is that of the gate. */
export const activations: readonly Activation[] = [relu, gelu, geluTanh, silu];
export const SWIGLU = 3;

function feedForward(c: Call): void {
  const [dtx, dtPack, m, d, wide, code] = c.numbers(6);
  const stat = statCode(dtx);
  const x = c.input(0, dtx, m * d);
  const widen = (weight: number, kept: number): Float64Array => {
    const bias = c.optional(weight + 1, stat, wide);
    const y = multiply(x, c.input(weight, dtPack, wide * d), m, wide, d);
    if (bias) for (let i = 0; i < y.length; i++) y[i] = y[i]! + bias[i % wide]!;
    c.optionalOutput(kept, dtx, m * wide)?.set(y);
    return y;
  };
  const up = widen(1, 7);
  const { of } = activations[code]!;
  const gate = code === SWIGLU ? widen(3, 8) : null;
  const active = gate ? up.map((u, i) => of(gate[i]!) * u) : up.map(of);
  const y = multiply(active, c.input(5, dtPack, d * wide), m, d, wide);
  addResidual(y, c.optional(10, dtx, m * d));
  store(c.output(9, dtx, m * d), y, d, 1, 0, c.optional(6, stat, d));
}

function feedForwardGrad(c: Call): void {
  const [dtx, dtPack, m, d, wide, code] = c.numbers(6);
  const up = c.input(1, dtx, m * wide);
  const slopes = multiply(c.input(0, dtx, m * d), c.input(5, dtPack, wide * d), m, wide, d);
  const { of, slope } = activations[code]!;
  const give = (sum: Float64Array): void => {
    addResidual(sum, c.optional(7, dtx, m * d));
    store(c.output(6, dtx, m * d), sum, d, 1, 0, null);
  };
  if (code !== SWIGLU) {
    const du = slopes.map((s, i) => s * slope(up[i]!));
    give(multiply(du, c.input(3, dtPack, d * wide), m, d, wide));
    return;
  }
  const gate = c.input(2, dtx, m * wide);
  const du = slopes.map((s, i) => s * of(gate[i]!));
  const dg = slopes.map((s, i) => s * up[i]! * slope(gate[i]!));
  const sum = multiply(du, c.input(3, dtPack, d * wide), m, d, wide);
  const rest = multiply(dg, c.input(4, dtPack, d * wide), m, d, wide);
  addResidual(sum, rest);
  give(sum);
}

export const feedForwardFamily = {
  feed_forward: feedForward,
  feed_forward_grad: feedForwardGrad,
};
