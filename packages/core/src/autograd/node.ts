/**
 * The tape. A node belongs to one op result, holds views of the tensors its gradient rule
 * needs and to the nodes of the op's inputs. Nodes are reference counted by their result tensor and
 * by later nodes, so a tape that never runs backward is freed with its last tensor.
 */
import type { DType } from '../dtype';
import type { Tensor } from '../tensor/tensor';

/** Computes input gradients from the output's and hands them over with `node.give`. */
export type GradRule = (dy: Tensor, node: GradNode) => void;

let counter = 0;
let enabled = true;

/** True while ops are recorded. */
export function gradEnabled(): boolean {
  return enabled;
}

/** Switches recording and returns the state before. */
export function setGradEnabled(value: boolean): boolean {
  const before = enabled;
  enabled = value;
  return before;
}

/** Runs fn without recording; results do not require gradients. */
export function noGrad<T>(fn: () => T): T {
  const before = setGradEnabled(false);
  try {
    return fn();
  } finally {
    enabled = before;
  }
}

export class GradNode {
  readonly id = counter++;
  /** The gradient that has reached this node so far. */
  pending: Tensor | null = null;
  /** Of an op with several results: the gradient of each; null for an op with one. */
  parts: (Tensor | null)[] | null = null;
  /** Set when backward has used the node up. */
  consumed = false;
  /** The traversal that visited this node last. */
  mark = 0;
  /** Views of what the rule needs, each with its own reference. */
  saved: Tensor[];
  private refs = 1;

  constructor(
    readonly op: string,
    readonly inputs: readonly (GradNode | null)[],
    saved: readonly Tensor[],
    readonly rule: GradRule | null,
    readonly leaf: Tensor | null,
  ) {
    this.saved = new Array<Tensor>(saved.length);
    for (let i = 0; i < saved.length; i++) this.saved[i] = saved[i]!.view(saved[i]!.shape);
    for (let i = 0; i < inputs.length; i++) {
      const input = inputs[i];
      if (input) input.refs++;
    }
  }

  /** True if input i wants a gradient. */
  needs(i: number): boolean {
    return this.inputs[i] !== null;
  }

  /** Adds t to the gradient of input i; the caller keeps its own tensor. */
  give(i: number, t: Tensor): void {
    const target = this.inputs[i];
    if (!target) return;
    target.pending = target.pending === null ? t.view(t.shape) : accumulate(target.pending, t);
  }

  /** Takes away the gradient that has reached input i so far, if it has this dtype, to fuse it into the rule's own. */
  takePending(i: number, dtype: DType): Tensor | null {
    const target = this.inputs[i];
    if (!target || target.pending?.dtype !== dtype) return null;
    const pending = target.pending;
    target.pending = null;
    return pending;
  }

  /** takePending, but only a gradient that nothing else holds, so that it can be added to in place. */
  takeOwnPending(i: number, dtype: DType): Tensor | null {
    const pending = this.inputs[i]?.pending;
    return pending && !pending.storage!.shared ? this.takePending(i, dtype) : null;
  }

  /** Frees gradients that reached this node and were not used. */
  dropGradients(): void {
    this.pending?.dispose();
    this.pending = null;
    this.parts?.forEach((part, i, parts) => {
      part?.dispose();
      parts[i] = null;
    });
  }

  /** Drops the buffers once the rule has run. */
  consume(): void {
    this.consumed = true;
    this.dropSaved();
  }

  /** Gives up one reference; the last one frees the saved buffers and the nodes before. */
  release(): void {
    const stack: GradNode[] = [this];
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      if (--node.refs !== 0) continue;
      node.dropSaved();
      for (const input of node.inputs) if (input) stack.push(input);
    }
  }

  private dropSaved(): void {
    const saved = this.saved;
    this.saved = [];
    for (let i = 0; i < saved.length; i++) saved[i]!.dispose();
  }
}

function accumulate(sum: Tensor, t: Tensor): Tensor {
  if (!sum.storage!.shared) {
    sum.addInPlace(t);
    return sum;
  }
  const fresh = sum.copy();
  fresh.addInPlace(t);
  sum.dispose();
  return fresh.view(fresh.shape);
}

/** The node through which gradients reach t: its own, a leaf node, or null when t wants none. */
export function nodeOf(t: Tensor | null): GradNode | null {
  if (t === null || !t.requiresGrad) return null;
  if (t.node === null) t.node = new GradNode('leaf', [], [], null, t);
  return t.node;
}

/** Records an op with several results; its rule finds their gradients, null where none came, in node.parts. */
export function recordMany(
  op: string,
  ys: readonly Tensor[],
  inputs: readonly (Tensor | null)[],
  saved: readonly Tensor[],
  rule: (node: GradNode) => void,
): void {
  const node = new GradNode(op, inputs.map(nodeOf), saved, (_, self) => rule(self), null);
  node.parts = ys.map(() => null);
  ys.forEach((y, i) => {
    y.node = new GradNode(
      `${op}[${i}]`,
      [node],
      [],
      (dy) => {
        node.parts![i] = dy.view(dy.shape);
      },
      null,
    );
    y.requiresGrad = true;
    if (y.remains !== null) y.remains.node = y.node;
  });
  // The results' nodes hold it from here on.
  node.release();
}

/** Records an op: y's gradient rule, its inputs, and the tensors to keep for it. */
export function record(
  op: string,
  y: Tensor,
  inputs: readonly (Tensor | null)[],
  saved: readonly Tensor[],
  rule: GradRule,
): void {
  const nodes = new Array<GradNode | null>(inputs.length);
  for (let i = 0; i < inputs.length; i++) nodes[i] = nodeOf(inputs[i]!);
  y.node = new GradNode(op, nodes, saved, rule, null);
  y.requiresGrad = true;
  if (y.remains !== null) y.remains.node = y.node;
}
