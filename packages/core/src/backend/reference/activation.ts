import { erf } from './erf';

/** A function of one number with its derivative. */
export interface Activation {
  of: (x: number) => number;
  slope: (x: number) => number;
}

const rootTwoOverPi = Math.sqrt(2 / Math.PI);
const phi = (x: number): number => 0.5 * (1 + erf(x / Math.SQRT2));
const inner = (x: number): number => Math.tanh(rootTwoOverPi * (x + 0.044715 * x * x * x));

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export const relu: Activation = { of: (x) => Math.max(x, 0), slope: (x) => (x > 0 ? 1 : 0) };

export const silu: Activation = {
  of: (x) => x * sigmoid(x),
  slope: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))),
};

export const gelu: Activation = {
  of: (x) => x * phi(x),
  slope: (x) => phi(x) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI),
};

export const geluTanh: Activation = {
  of: (x) => 0.5 * x * (1 + inner(x)),
  slope: (x) => {
    const t = inner(x);
    const steepness = rootTwoOverPi * (1 + 3 * 0.044715 * x * x);
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * steepness;
  },
};
