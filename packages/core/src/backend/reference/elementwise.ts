import type { ReferenceKernel, Call, Reals } from './call';
import { gelu, geluTanh, relu, sigmoid, silu } from './activation';

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
    const [dt, mode, rows, cols, dtb] = c.numbers(5);
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
  const [dt, n, mul, add] = c.numbers(4);
  const x = c.input(0, dt, n);
  const y = c.output(1, dt, n);
  for (let i = 0; i < n; i++) y[i] = mul * x[i]! + add;
}

function axpby(c: Call): void {
  const [dtx, dty, n, a, b] = c.numbers(5);
  const x = c.input(0, dtx, n);
  const y = c.output(1, dty, n);
  for (let i = 0; i < n; i++) y[i] = a * x[i]! + b * y[i]!;
}

function swiglu(c: Call): void {
  const [dt, n] = [c.arg(0), c.arg(1)];
  const g = c.input(0, dt, n);
  const u = c.input(1, dt, n);
  const y = c.output(2, dt, n);
  for (let i = 0; i < n; i++) y[i] = silu.of(g[i]!) * u[i]!;
}

function swigluGrad(c: Call): void {
  const [dt, n] = [c.arg(0), c.arg(1)];
  const [dy, g, u] = [c.input(0, dt, n), c.input(1, dt, n), c.input(2, dt, n)];
  const [dg, du]: [Reals, Reals] = [c.output(3, dt, n), c.output(4, dt, n)];
  for (let i = 0; i < n; i++) {
    const [d, gate, up] = [dy[i]!, g[i]!, u[i]!];
    dg[i] = d * up * silu.slope(gate);
    du[i] = d * silu.of(gate);
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
  sigmoid: unary(sigmoid),
  relu: unary(relu.of),
  silu: unary(silu.of),
  softplus: unary((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
  gelu: unary(gelu.of),
  gelu_tanh: unary(geluTanh.of),
  silu_grad: unaryGrad(silu.slope),
  gelu_grad: unaryGrad(gelu.slope),
  gelu_tanh_grad: unaryGrad(geluTanh.slope),
  swiglu,
  swiglu_grad: swigluGrad,
};
