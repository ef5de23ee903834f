import { UnimoerError } from '../errors';
import { Tensor } from './tensor';
import { swapScope, track, watch } from './tracking';

/**
 * Disposes every tensor made inside fn, except those in its return value (a tensor, or arrays, plain
 * objects and maps of them), which move to the enclosing scope, and except parameters and kept ones.
 * fn must be synchronous: an async one would run on after its tensors are gone.
 */
export function scope<T>(fn: () => T): T {
  const made: Tensor[] = [];
  const parent = swapScope(made);
  let result: T;
  try {
    result = fn();
  } catch (error) {
    swapScope(parent);
    discard(made);
    throw error;
  }
  swapScope(parent);
  if (isThenable(result)) {
    discard(made);
    throw new UnimoerError(
      'ASYNC_SCOPE',
      'scope: got an async function, expected a synchronous one; await outside and open one scope per step',
    );
  }
  const returned = new Set<Tensor>();
  collect(result, returned, new Set());
  for (const t of made) {
    if (survives(t)) watch(t);
    else if (!returned.has(t)) t.dispose();
    else if (!t.disposed) track(t);
  }
  return result;
}

/** Takes a tensor out of scope management; it lives until dispose(), or until nothing refers to it. */
export function keep<T extends Tensor>(t: T): T {
  t.kept = true;
  watch(t);
  return t;
}

function discard(made: readonly Tensor[]): void {
  for (const t of made) {
    if (survives(t)) watch(t);
    else t.dispose();
  }
}

function survives(t: Tensor): boolean {
  return t.kept || (t.requiresGrad && (t.node === null || t.node.leaf === t));
}

function isThenable(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    'then' in value &&
    typeof value.then === 'function'
  );
}

function collect(value: unknown, found: Set<Tensor>, seen: Set<object>): void {
  if (typeof value !== 'object' || value === null) return;
  if (value instanceof Tensor) {
    found.add(value);
    if (value.grad !== null) found.add(value.grad);
    return;
  }
  if (seen.has(value)) return;
  seen.add(value);
  if (Array.isArray(value)) {
    for (const item of value) collect(item, found, seen);
  } else if (value instanceof Map || value instanceof Set) {
    for (const item of value.values()) collect(item, found, seen);
  } else {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) return;
    for (const item of Object.values(value)) collect(item, found, seen);
  }
}
