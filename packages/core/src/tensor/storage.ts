import type { Backend, Handle } from '../backend/types';

/** A reference-counted buffer: tensors, views and the tape each hold one reference. */
export class Storage {
  private refs = 1;

  constructor(
    readonly backend: Backend,
    readonly handle: Handle,
  ) {}

  get shared(): boolean {
    return this.refs > 1;
  }

  retain(): this {
    this.refs++;
    return this;
  }

  release(): void {
    if (--this.refs === 0) this.backend.free(this.handle);
  }
}
