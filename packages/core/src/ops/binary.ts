/** Arithmetic on two tensors with the broadcasts that training needs: scalar, row and column. */
import { type GradNode, gradEnabled, record } from '../autograd/node';
import { empty, type Tensor } from '../tensor/tensor';
import { cast } from './cast';
import { checkBackend, checkReal, sameShape, shapeFault } from './shared/check';
import { sumGroups } from './shared/sum-groups';
import { neg } from './unary';

type BinaryOp = 'add' | 'sub' | 'mul' | 'div';

const modeSame = 0;
const modeScalar = 1;
const modeRow = 2;
const modeColumn = 3;

/** How b spreads over a, or -1 where it does not. */
function broadcastMode(a: readonly number[], b: readonly number[]): number {
  if (sameShape(a, b)) return modeSame;
  if (b.length === 0 || (b.length === 1 && b[0] === 1)) return modeScalar;
  if (b.length < a.length) {
    const offset = a.length - b.length;
    return b.every((d, i) => d === a[offset + i]) ? modeRow : -1;
  }
  if (b.length === a.length && b[b.length - 1] === 1) {
    return b.every((d, i) => i === b.length - 1 || d === a[i]) ? modeColumn : -1;
  }
  return -1;
}

/**
 * a + b. One side has the other's shape, or is a scalar ([] or [1]), a trailing row, or a column
 * [..., 1]; the result has shape and dtype of the larger one (of a where shapes are equal).
 */
export function add(a: Tensor, b: Tensor): Tensor {
  const mode = broadcastMode(a.shape, b.shape);
  return mode >= 0 ? addLike(a, b, mode) : addLike(b, a, broadcastMode(b.shape, a.shape));
}

function addLike(a: Tensor, b: Tensor, mode: number): Tensor {
  const y = compute('add', a, b, mode);
  if (gradEnabled() && (a.requiresGrad || b.requiresGrad)) {
    const giveB = reducer(b, mode);
    record('add', y, [a, b], [], (dy, node) => {
      node.give(0, dy);
      if (node.needs(1)) giveB(node, dy);
    });
  }
  return y;
}

/** a − b in a's dtype; b has a's shape or is a scalar, trailing row or column [..., 1]. */
export function sub(a: Tensor, b: Tensor): Tensor {
  const mode = broadcastMode(a.shape, b.shape);
  const y = compute('sub', a, b, mode);
  if (gradEnabled() && (a.requiresGrad || b.requiresGrad)) {
    const giveB = reducer(b, mode);
    record('sub', y, [a, b], [], (dy, node) => {
      node.give(0, dy);
      if (node.needs(1)) giveB(node, neg(dy));
    });
  }
  return y;
}

/** a · b elementwise; shapes and dtype as in {@link add}. Saves both inputs. */
export function mul(a: Tensor, b: Tensor): Tensor {
  const mode = broadcastMode(a.shape, b.shape);
  return mode >= 0 ? mulLike(a, b, mode) : mulLike(b, a, broadcastMode(b.shape, a.shape));
}

function mulLike(a: Tensor, b: Tensor, mode: number): Tensor {
  const y = compute('mul', a, b, mode);
  if (gradEnabled() && (a.requiresGrad || b.requiresGrad)) {
    const giveB = reducer(b, mode);
    record('mul', y, [a, b], [a, b], (dy, node) => {
      const [left, right] = node.saved as [Tensor, Tensor];
      if (node.needs(0)) node.give(0, compute('mul', dy, right, mode));
      if (node.needs(1)) giveB(node, compute('mul', dy, left, modeSame));
    });
  }
  return y;
}

/** a / b elementwise; shapes and dtype as in {@link sub}. Saves b and the result. */
export function div(a: Tensor, b: Tensor): Tensor {
  const mode = broadcastMode(a.shape, b.shape);
  const y = compute('div', a, b, mode);
  if (gradEnabled() && (a.requiresGrad || b.requiresGrad)) {
    const giveB = reducer(b, mode);
    record('div', y, [a, b], [b, y], (dy, node) => {
      const [right, quotient] = node.saved as [Tensor, Tensor];
      const da = compute('div', dy, right, mode);
      node.give(0, da);
      if (node.needs(1)) giveB(node, neg(compute('mul', da, quotient, modeSame)));
    });
  }
  return y;
}

function compute(op: BinaryOp, a: Tensor, b: Tensor, mode: number): Tensor {
  checkReal(op, a);
  checkReal(op, b);
  checkBackend(op, a, b);
  if (mode < 0) {
    shapeFault(
      op,
      `[${a.shape.join(', ')}] and [${b.shape.join(', ')}]`,
      'equal shapes, or a scalar, a trailing row or a column [..., 1] beside the larger one',
      op === 'sub' || op === 'div' ? 'the small one must be the second' : undefined,
    );
  }
  const y = empty(a.shape, a.dtype, a.backend);
  const grouped = mode === modeRow || mode === modeColumn;
  const cols =
    mode === modeRow ? b.size : mode === modeColumn ? a.shape[a.shape.length - 1]! : a.size;
  const rows = grouped ? (cols === 0 ? 0 : a.size / cols) : 1;
  a.backend.launch(op, [a.handle, b.handle, y.handle], [a.code, mode, rows, cols, b.code]);
  return y;
}

/** Gives input 1 its gradient from one of the result's shape, summed over what was broadcast. */
function reducer(b: Tensor, mode: number): (node: GradNode, g: Tensor) => void {
  const { shape, dtype } = b;
  return (node, g) => {
    if (mode === modeSame) {
      node.give(1, cast(g, dtype));
      return;
    }
    const axis = mode === modeScalar ? null : mode === modeRow ? 0 : -1;
    const size = shape.reduce((n, d) => n * d, 1);
    const cols =
      mode === modeRow ? size : mode === modeColumn ? g.shape[g.shape.length - 1]! : g.size;
    const rows = cols === 0 ? 0 : g.size / cols;
    node.give(1, cast(sumGroups(g, rows, cols, axis, shape), dtype));
  };
}
