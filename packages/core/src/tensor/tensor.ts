import { type GradNode, gradEnabled, record } from '../autograd/node';
import type { Backend, Handle } from '../backend/types';
import { type DType, dtypeBytes, dtypeCode, fromStorage, newStorage, toStorage } from '../dtype';
import { DisposedError, DTypeError, ShapeError } from '../errors';
import { Storage } from './storage';
import { type Remains, track, unwatch } from './tracking';

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (let i = 0; i < shape.length; i++) size *= shape[i]!;
  return size;
}

/** A contiguous row-major array on a backend. Ops never consume their inputs. */
export class Tensor {
  /** Leaf parameters set it; results of ops get it from their inputs. */
  requiresGrad = false;
  /** Gradient of a leaf, summed up by backward(); f32 (f64 on f64). */
  grad: Tensor | null = null;
  name: string | undefined = undefined;
  /** The tape node that made this tensor; for leaves, the one that collects gradients. */
  node: GradNode | null = null;
  /** True when scopes leave this tensor alone. */
  kept = false;
  /** Set while the garbage collector watches this tensor. */
  remains: Remains | null = null;

  constructor(
    readonly shape: readonly number[],
    readonly dtype: DType,
    readonly size: number,
    /** The buffer, null once disposed. */
    public storage: Storage | null,
  ) {}

  get backend(): Backend {
    return this.live().backend;
  }

  /** The backend's buffer. */
  get handle(): Handle {
    return this.live().handle;
  }

  /** dtype as kernels take it. */
  get code(): number {
    return dtypeCode[this.dtype];
  }

  get disposed(): boolean {
    return this.storage === null;
  }

  /** Contents as numbers; bf16 is widened to f32. */
  toArray(): Float32Array | Float64Array | Int32Array {
    const out = newStorage(this.dtype, this.size);
    if (this.size > 0) this.backend.read(this.handle, out);
    return fromStorage(out);
  }

  /** The only element. */
  item(): number {
    if (this.size !== 1) {
      throw new ShapeError({
        where: 'item',
        got: `shape [${this.shape.join(', ')}]`,
        expected: 'one element',
        remedy: 'use toArray()',
      });
    }
    return this.toArray()[0]!;
  }

  /** The same elements under another shape; shares the buffer, gradients pass through. */
  reshape(shape: readonly number[]): Tensor {
    const y = this.alias(inferShape(this, shape));
    if (this.requiresGrad && gradEnabled()) {
      record('reshape', y, [this], [], reshapeGrad(this.shape));
    }
    return y;
  }

  /** The same buffer without a tape. */
  detach(): Tensor {
    return this.alias(this.shape);
  }

  /** A copy; gradients pass through. */
  clone(): Tensor {
    const y = this.copy();
    if (this.requiresGrad && gradEnabled()) record('clone', y, [this], [], passGrad);
    return y;
  }

  /** Overwrites the contents in place. Unsafe on tensors that a tape still needs. */
  set(data: ArrayLike<number>): void {
    if (data.length !== this.size) {
      throw new ShapeError({
        where: `set${this.name ? ` (${this.name})` : ''}`,
        got: `${data.length} values`,
        expected: `${this.size} for shape [${this.shape.join(', ')}]`,
      });
    }
    if (this.size > 0) this.backend.write(this.handle, toStorage(data, this.dtype));
  }

  /** Frees the buffer unless views or the tape still hold it, and this tensor's part of the tape. */
  dispose(): void {
    const storage = this.storage;
    if (storage === null) return;
    this.storage = null;
    if (this.remains !== null) unwatch(this);
    storage.release();
    const node = this.node;
    if (node !== null) {
      this.node = null;
      node.release();
    }
    if (this.grad !== null) {
      this.grad.dispose();
      this.grad = null;
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** A view of the whole buffer with its own reference, which its maker must dispose. */
  view(shape: readonly number[]): Tensor {
    return new Tensor(shape, this.dtype, this.size, this.live().retain());
  }

  /** A view that the current scope owns. */
  alias(shape: readonly number[]): Tensor {
    const y = this.view(shape);
    track(y);
    return y;
  }

  /** A copy outside the tape. */
  copy(): Tensor {
    const y = empty(this.shape, this.dtype, this.backend);
    const code = this.code;
    this.backend.launch(
      'copy_2d',
      [this.handle, y.handle],
      [code, 1, this.size, this.size, 0, this.size, 0],
    );
    return y;
  }

  /** this += t without the tape. */
  addInPlace(t: Tensor): void {
    this.backend.launch('axpby', [t.handle, this.handle], [t.code, this.code, this.size, 1, 1]);
  }

  private live(): Storage {
    if (this.storage === null) {
      const label = this.name ?? `shape [${this.shape.join(', ')}]`;
      throw new DisposedError(
        `tensor ${label} was disposed; return it from its scope or keep() it to use it later`,
      );
    }
    return this.storage;
  }
}

/** A tensor with undefined contents, owned by the current scope. */
export function empty(shape: readonly number[], dtype: DType, backend: Backend): Tensor {
  if (dtype === 'f64' && !backend.supports('fill', 'f64')) {
    throw new DTypeError({
      where: `tensor on ${backend.name}`,
      got: 'f64',
      expected: 'f32, bf16 or i32',
      remedy: 'use the reference backend for f64',
    });
  }
  const size = sizeOf(shape);
  const handle = backend.alloc(size === 0 ? 8 : size * dtypeBytes[dtype]);
  const y = new Tensor(shape, dtype, size, new Storage(backend, handle));
  track(y);
  return y;
}

const passGrad = (dy: Tensor, node: GradNode): void => node.give(0, dy);

function reshapeGrad(shape: readonly number[]) {
  return (dy: Tensor, node: GradNode): void => node.give(0, dy.alias(shape));
}

function inferShape(t: Tensor, shape: readonly number[]): readonly number[] {
  const hole = shape.indexOf(-1);
  let full = shape;
  if (hole >= 0) {
    const rest = -sizeOf(shape);
    full = shape.map((d, i) => (i === hole ? t.size / rest : d));
  }
  if (full.some((d) => !Number.isInteger(d) || d < 0) || sizeOf(full) !== t.size) {
    throw new ShapeError({
      where: 'reshape',
      got: `[${t.shape.join(', ')}] to [${shape.join(', ')}]`,
      expected: `${t.size} elements`,
    });
  }
  return full;
}
