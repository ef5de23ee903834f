import { statDType } from '../dtype';
import { DisposedError, ShapeError } from '../errors';
import { empty, type Tensor } from '../tensor/tensor';
import { swapScope, watch } from '../tensor/tracking';
import { type GradNode, setGradEnabled } from './node';

let pass = 0;

/**
 * Adds d loss / d leaf to leaf.grad of every leaf that wants a gradient. loss is a scalar unless its
 * gradient is given. Runs the tape once, in reverse order of creation, and frees it on the way.
 */
export function backward(loss: Tensor, grad?: Tensor): void {
  if (!grad && loss.size !== 1) {
    throw new ShapeError({
      where: 'backward',
      got: `loss of shape [${loss.shape.join(', ')}]`,
      expected: 'a scalar',
      remedy: 'reduce it with mean() or pass its gradient',
    });
  }
  if (grad && (grad.size !== loss.size || grad.dtype !== loss.dtype)) {
    throw new ShapeError({
      where: 'backward',
      got: `gradient ${grad.dtype} [${grad.shape.join(', ')}]`,
      expected: `${loss.dtype} [${loss.shape.join(', ')}] as the loss`,
    });
  }
  const root = loss.node;
  if (!loss.requiresGrad || root === null) {
    throw new DisposedError(
      'backward: the loss does not depend on a tensor that requires a gradient (or was computed under noGrad)',
    );
  }
  const order = reachable(root);
  const recording = setGradEnabled(false);
  const made: Tensor[] = [];
  const parent = swapScope(made);
  try {
    root.pending = seed(loss, grad);
    for (const node of order) runNode(node, made);
  } finally {
    for (const node of order) node.dropGradients();
    sweep(made);
    swapScope(parent);
    setGradEnabled(recording);
  }
}

function seed(loss: Tensor, grad: Tensor | undefined): Tensor {
  if (grad) return grad.view(loss.shape);
  const one = empty(loss.shape, loss.dtype, loss.backend);
  one.backend.launch('fill', [one.handle], [one.code, one.size, 1]);
  return one.view(one.shape);
}

/** Nodes that lead to leaves of the root, newest first; creation order is a topological order. */
function reachable(root: GradNode): GradNode[] {
  pass++;
  const order: GradNode[] = [];
  const stack: GradNode[] = [root];
  root.mark = pass;
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (node.consumed) {
      throw new DisposedError(
        `backward: the tape through ${node.op} was consumed by an earlier backward; run the forward pass again`,
      );
    }
    order.push(node);
    for (const input of node.inputs) {
      if (input !== null && input.mark !== pass) {
        input.mark = pass;
        stack.push(input);
      }
    }
  }
  return order.sort((a, b) => b.id - a.id);
}

function runNode(node: GradNode, made: Tensor[]): void {
  const dy = node.pending;
  if (node.leaf !== null) {
    node.pending = null;
    if (dy !== null) addToLeaf(node.leaf, dy);
    return;
  }
  if (dy !== null) {
    node.pending = null;
    node.rule!(dy, node);
    dy.dispose();
  } else {
    const part = node.parts?.find((t) => t !== null);
    if (part) node.rule!(part, node);
    node.dropGradients();
  }
  node.consume();
  sweep(made);
}

/** Frees what a rule made; gradients handed on are held by their own views. */
function sweep(made: Tensor[]): void {
  for (let i = 0; i < made.length; i++) if (!made[i]!.kept) made[i]!.dispose();
  made.length = 0;
}

function addToLeaf(leaf: Tensor, dy: Tensor): void {
  if (leaf.grad === null) {
    const dtype = statDType(leaf.dtype);
    if (dy.dtype === dtype && !dy.storage!.shared) {
      leaf.grad = dy.view(leaf.shape);
    } else {
      leaf.grad = empty(leaf.shape, dtype, leaf.backend);
      leaf.backend.launch(
        'cast',
        [dy.handle, leaf.grad.handle],
        [dy.code, leaf.grad.code, dy.size],
      );
    }
    leaf.grad.kept = true;
    watch(leaf.grad);
  } else {
    leaf.grad.addInPlace(dy);
  }
  dy.dispose();
}
