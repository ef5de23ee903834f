/** Elementwise functions of one tensor; the result has x's shape and dtype. */
import { gradEnabled, record } from '../autograd/node';
import type { KernelName } from '../backend/kernels';
import { empty, type Tensor } from '../tensor/tensor';
import { checkReal } from './shared/check';

/** dx from dy and the one saved tensor. */
type Derivative = (dy: Tensor, saved: Tensor) => Tensor;

function apply(kernel: KernelName, x: Tensor): Tensor {
  checkReal(kernel, x);
  const y = empty(x.shape, x.dtype, x.backend);
  x.backend.launch(kernel, [x.handle, y.handle], [x.code, x.size]);
  return y;
}

function affine(x: Tensor, multiplier: number, addend: number): Tensor {
  checkReal('scale', x);
  const y = empty(x.shape, x.dtype, x.backend);
  x.backend.launch('affine', [x.handle, y.handle], [x.code, x.size, multiplier, addend]);
  return y;
}

function product(a: Tensor, b: Tensor): Tensor {
  const y = empty(a.shape, a.dtype, a.backend);
  a.backend.launch('mul', [a.handle, b.handle, y.handle], [a.code, 0, 1, a.size, b.code]);
  return y;
}

function quotient(a: Tensor, b: Tensor): Tensor {
  const y = empty(a.shape, a.dtype, a.backend);
  a.backend.launch('div', [a.handle, b.handle, y.handle], [a.code, 0, 1, a.size, b.code]);
  return y;
}

/** dx = kernel(dy, x), for the functions whose derivative has its own kernel. */
function gradKernel(kernel: KernelName): Derivative {
  return (dy, x) => {
    const dx = empty(x.shape, x.dtype, x.backend);
    x.backend.launch(kernel, [dy.handle, x.handle, dx.handle], [x.code, x.size]);
    return dx;
  };
}

/** Functions whose derivative is easiest from the input. */
function fromInput(kernel: KernelName, derivative: Derivative): (x: Tensor) => Tensor {
  const rule = (dy: Tensor, node: { saved: Tensor[]; give(i: number, t: Tensor): void }): void =>
    node.give(0, derivative(dy, node.saved[0]!));
  return (x) => {
    const y = apply(kernel, x);
    if (x.requiresGrad && gradEnabled()) record(kernel, y, [x], [x], rule);
    return y;
  };
}

/** Functions whose derivative is easiest from the output. */
function fromOutput(kernel: KernelName, derivative: Derivative): (x: Tensor) => Tensor {
  const rule = (dy: Tensor, node: { saved: Tensor[]; give(i: number, t: Tensor): void }): void =>
    node.give(0, derivative(dy, node.saved[0]!));
  return (x) => {
    const y = apply(kernel, x);
    if (x.requiresGrad && gradEnabled()) record(kernel, y, [x], [y], rule);
    return y;
  };
}

/** c · x. */
export function scale(x: Tensor, c: number): Tensor {
  const y = affine(x, c, 0);
  if (x.requiresGrad && gradEnabled()) {
    record('scale', y, [x], [], (dy, node) => node.give(0, affine(dy, c, 0)));
  }
  return y;
}

/** x + c. */
export function addScalar(x: Tensor, c: number): Tensor {
  const y = affine(x, 1, c);
  if (x.requiresGrad && gradEnabled()) {
    record('addScalar', y, [x], [], (dy, node) => node.give(0, dy));
  }
  return y;
}

/** −x. */
export function neg(x: Tensor): Tensor {
  const y = apply('neg', x);
  if (x.requiresGrad && gradEnabled()) {
    record('neg', y, [x], [], (dy, node) => node.give(0, apply('neg', dy)));
  }
  return y;
}

/** eˣ. */
export const exp = fromOutput('exp', product);

/** Natural logarithm. */
export const log = fromInput('log', quotient);

/** Square root; the gradient is infinite at 0. */
export const sqrt = fromOutput('sqrt', (dy, y) => affine(quotient(dy, y), 0.5, 0));

/** x². */
export const square = fromInput('square', (dy, x) => affine(product(dy, x), 2, 0));

/** |x|; the gradient at 0 is 0. */
export const abs = fromInput('abs', (dy, x) =>
  product(dy, quotient(x, affine(apply('abs', x), 1, tiny))),
);

/** Hyperbolic tangent. */
export const tanh = fromOutput('tanh', (dy, y) => product(dy, affine(apply('square', y), -1, 1)));

/** 1 / (1 + e⁻ˣ). */
export const sigmoid = fromOutput('sigmoid', (dy, y) => product(dy, product(y, affine(y, -1, 1))));

/** max(0, x); the gradient at 0 is 0. */
export const relu = fromOutput('relu', (dy, y) => product(dy, quotient(y, affine(y, 1, tiny))));

/** x · sigmoid(x). */
export const silu = fromInput('silu', gradKernel('silu_grad'));

/** log(1 + eˣ), computed without overflow. */
export const softplus = fromInput('softplus', (dy, x) => product(dy, apply('sigmoid', x)));

/** y / (y + tiny) is 1 for every y of practical size and 0 at 0. */
const tiny = 1e-37;

const geluErf = fromInput('gelu', gradKernel('gelu_grad'));
const geluTanh = fromInput('gelu_tanh', gradKernel('gelu_tanh_grad'));

/** x Φ(x) with Φ from erf ('none', the default) or its tanh approximation (Hendrycks & Gimpel 2016). */
export function gelu(x: Tensor, options: { approximate?: 'none' | 'tanh' } = {}): Tensor {
  return options.approximate === 'tanh' ? geluTanh(x) : geluErf(x);
}
