/** Which tensors the current scope owns. Outside scopes the garbage collector is the safety net. */
import type { GradNode } from '../autograd/node';
import type { Storage } from './storage';
import type { Tensor } from './tensor';

/** What an unreachable tensor leaves behind to be freed. */
export interface Remains {
  storage: Storage;
  node: GradNode | null;
}

const dropped = new FinalizationRegistry<Remains>(({ storage, node }) => {
  storage.release();
  node?.release();
});

let current: Tensor[] | null = null;

/** Hands a new tensor to the current scope, or to the collector's net when there is none. */
export function track(tensor: Tensor): void {
  if (current !== null) current.push(tensor);
  else watch(tensor);
}

/** Frees the tensor's buffer should the collector find it unreachable. */
export function watch(tensor: Tensor): void {
  if (tensor.remains !== null || tensor.storage === null) return;
  // A leaf's node points back at the leaf and would keep it reachable.
  const node = tensor.node?.leaf ? null : tensor.node;
  tensor.remains = { storage: tensor.storage, node };
  dropped.register(tensor, tensor.remains, tensor);
}

export function unwatch(tensor: Tensor): void {
  dropped.unregister(tensor);
  tensor.remains = null;
}

/** Replaces the list of the current scope and returns the one before it. */
export function swapScope(next: Tensor[] | null): Tensor[] | null {
  const previous = current;
  current = next;
  return previous;
}
