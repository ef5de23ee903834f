import type { DType } from '../../dtype';
import { BackendError } from '../../errors';
import type { KernelName } from '../kernels';
import type { Backend, Handle, MemoryStats } from '../types';
import { Call } from './call';
import { quantizedBytes } from './quantized';
import { referenceKernels } from './table';

/** Plain TypeScript over typed arrays, accumulating in f64: the oracle, and the fallback without an addon. */
export class ReferenceBackend implements Backend {
  readonly name = 'reference';
  private readonly buffers: (ArrayBuffer | null)[] = [null];
  private readonly vacant: Handle[] = [];
  private liveBytes = 0;
  private peakBytes = 0;
  private liveBuffers = 0;

  alloc(bytes: number): Handle {
    const buffer = new ArrayBuffer(bytes);
    const handle = this.vacant.pop() ?? this.buffers.length;
    this.buffers[handle] = buffer;
    this.liveBytes += bytes;
    this.liveBuffers++;
    if (this.liveBytes > this.peakBytes) this.peakBytes = this.liveBytes;
    return handle;
  }

  free(handle: Handle): void {
    this.liveBytes -= this.buffer(handle).byteLength;
    this.liveBuffers--;
    this.buffers[handle] = null;
    this.vacant.push(handle);
  }

  write(handle: Handle, data: ArrayBufferView, byteOffset = 0): void {
    this.bytes(handle, byteOffset, data.byteLength).set(
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    );
  }

  read(handle: Handle, out: ArrayBufferView, byteOffset = 0): void {
    new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(
      this.bytes(handle, byteOffset, out.byteLength),
    );
  }

  launch(kernel: KernelName, buffers: readonly Handle[], args: readonly number[]): void {
    const views = buffers.map((handle) => (handle === 0 ? null : this.buffer(handle)));
    const call = new Call(kernel, views, args);
    referenceKernels[kernel](call);
    call.finish();
  }

  packedBytes(dtype: number, n: number, k: number): number {
    return n * k * (dtype === 1 ? 2 : dtype === 3 ? 8 : 4);
  }

  quantizedBytes(bits: 8 | 4, group: number, n: number, k: number): number {
    return quantizedBytes(bits, group, n, k);
  }

  supports(_kernel: KernelName, _dtype: DType): boolean {
    return true;
  }

  memory(): MemoryStats {
    const { liveBytes, peakBytes, liveBuffers } = this;
    return { liveBytes, peakBytes, cachedBytes: 0, liveBuffers };
  }

  resetPeak(): void {
    this.peakBytes = this.liveBytes;
  }

  synchronize(): void {}

  setThreads(_n: number): void {}

  threads(): number {
    return 1;
  }

  isa(): string {
    return 'javascript';
  }

  private buffer(handle: Handle): ArrayBuffer {
    const buffer = this.buffers[handle] ?? null;
    if (buffer === null) {
      throw new BackendError({
        where: 'reference backend',
        got: `handle ${handle}`,
        expected: 'a live buffer',
      });
    }
    return buffer;
  }

  private bytes(handle: Handle, offset: number, length: number): Uint8Array {
    const buffer = this.buffer(handle);
    if (offset < 0 || offset + length > buffer.byteLength) {
      throw new BackendError({
        where: 'reference backend',
        got: `${length} bytes at offset ${offset}`,
        expected: `a range within ${buffer.byteLength} bytes`,
      });
    }
    return new Uint8Array(buffer, offset, length);
  }
}
