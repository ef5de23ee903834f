import type { ReferenceKernel, Call, Reals } from './call';
import { erf } from './erf';

const rootTwoOverPi = Math.sqrt(2 / Math.PI);
const sigmoidOf = (x: number): number => 1 / (1 + Math.exp(-x));
const phi = (x: number): number => 0.5 * (1 + erf(x / Math.SQRT2));

function geluTanhOf(x: number): number {
  return 0.5 * x * (1 + Math.tanh(rootTwoOverPi * (x + 0.044715 * x * x * x)));
}

function unary(f: (x: number) => number): ReferenceKernel {
  return (c) => {
    const [dt, n] = [c.arg(0), c.arg(1)];
    const x = c.input(0, dt, n);
    const y = c.output(1, dt, n);
    for (let i = 0; i < n; i++) y[i] = f(x[i]!);
  };
}

function unaryGrad(derivative: (x: number) => number): ReferenceKernel {
  return (c) => {
    const [dt, n] = [c.arg(0), c.arg(1)];
    const dy = c.input(0, dt, n);
    const x = c.input(1, dt, n);
    const dx = c.output(2, dt, n);
    for (let i = 0; i < n; i++) dx[i] = dy[i]! * derivative(x[i]!);
  };
}

/** Modes of b: 0 same shape, 1 one value, 2 one row, 3 one column. */
function binary(f: (a: number, b: number) => number): ReferenceKernel {
  return (c) => {
    const [dt, mode, rows, cols, dtb] = c.args as [number, number, number, number, number];
    const a = c.input(0, dt, rows * cols);
    const b = c.input(1, dtb, [rows * cols, 1, cols, rows][mode]!);
    const y = c.output(2, dt, rows * cols);
    for (let r = 0, i = 0; r < rows; r++) {
      for (let j = 0; j < cols; j++, i++) {
        y[i] = f(a[i]!, b[mode === 0 ? i : mode === 1 ? 0 : mode === 2 ? j : r]!);
      }
    }
  };
}

function fill(c: Call): void {
  c.output(0, c.arg(0), c.arg(1)).fill(c.arg(2));
}

function cast(c: Call): void {
  const n = c.arg(2);
  const x = c.input(0, c.arg(0), n);
  c.output(1, c.arg(1), n).set(x);
}

function affine(c: Call): void {
  const [dt, n, mul, add] = c.args as [number, number, number, number];
  const x = c.input(0, dt, n);
  const y = c.output(1, dt, n);
  for (let i = 0; i < n; i++) y[i] = mul * x[i]! + add;
}

function axpby(c: Call): void {
  const [dtx, dty, n, a, b] = c.args as [number, number, number, number, number];
  const x = c.input(0, dtx, n);
  const y = c.output(1, dty, n);
  for (let i = 0; i < n; i++) y[i] = a * x[i]! + b * y[i]!;
}

function siluDerivative(x: number): number {
  const s = sigmoidOf(x);
  return s * (1 + x * (1 - s));
}

function swiglu(c: Call): void {
  const [dt, n] = [c.arg(0), c.arg(1)];
  const g = c.input(0, dt, n);
  const u = c.input(1, dt, n);
  const y = c.output(2, dt, n);
  for (let i = 0; i < n; i++) y[i] = g[i]! * sigmoidOf(g[i]!) * u[i]!;
}

function swigluGrad(c: Call): void {
  const [dt, n] = [c.arg(0), c.arg(1)];
  const [dy, g, u] = [c.input(0, dt, n), c.input(1, dt, n), c.input(2, dt, n)];
  const [dg, du]: [Reals, Reals] = [c.output(3, dt, n), c.output(4, dt, n)];
  for (let i = 0; i < n; i++) {
    const [d, gate, up] = [dy[i]!, g[i]!, u[i]!];
    dg[i] = d * up * siluDerivative(gate);
    du[i] = d * gate * sigmoidOf(gate);
  }
}

export const elementwise = {
  fill,
  cast,
  add: binary((a, b) => a + b),
  sub: binary((a, b) => a - b),
  mul: binary((a, b) => a * b),
  div: binary((a, b) => a / b),
  affine,
  axpby,
  neg: unary((x) => -x),
  exp: unary(Math.exp),
  log: unary(Math.log),
  sqrt: unary(Math.sqrt),
  square: unary((x) => x * x),
  abs: unary(Math.abs),
  tanh: unary(Math.tanh),
  sigmoid: unary(sigmoidOf),
  relu: unary((x) => Math.max(x, 0)),
  silu: unary((x) => x * sigmoidOf(x)),
  softplus: unary((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
  gelu: unary((x) => x * phi(x)),
  gelu_tanh: unary(geluTanhOf),
  silu_grad: unaryGrad(siluDerivative),
  gelu_grad: unaryGrad((x) => phi(x) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI)),
  gelu_tanh_grad: unaryGrad((x) => {
    const t = Math.tanh(rootTwoOverPi * (x + 0.044715 * x * x * x));
    const inner = rootTwoOverPi * (1 + 3 * 0.044715 * x * x);
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner;
  }),
  swiglu,
  swiglu_grad: swigluGrad,
};
