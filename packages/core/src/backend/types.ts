import type { DType } from '../dtype';
import type { KernelName } from './kernels';

/** A buffer of a backend; 0 is no buffer. */
export type Handle = number;

/** Bytes in use now, at most so far, kept for reuse, and the number of buffers in use. */
export interface MemoryStats {
  liveBytes: number;
  peakBytes: number;
  cachedBytes: number;
  liveBuffers: number;
}

/** The seam: untyped buffers and kernels by name. Shapes are checked above it, memory below it. */
export interface Backend {
  readonly name: string;
  /** New buffer with undefined contents. Throws OutOfMemoryError. */
  alloc(bytes: number): Handle;
  free(handle: Handle): void;
  write(handle: Handle, data: ArrayBufferView, byteOffset?: number): void;
  read(handle: Handle, out: ArrayBufferView, byteOffset?: number): void;
  /** Runs a kernel; optional buffers may be 0. Throws a typed error that names the kernel. */
  launch(kernel: KernelName, buffers: readonly Handle[], args: readonly number[]): void;
  /** Bytes of a packed weight with n outputs and k inputs. */
  packedBytes(dtype: number, n: number, k: number): number;
  /** The same in 8 bits (group 0), or in 4 with a scale for every `group` inputs. */
  quantizedBytes(bits: 8 | 4, group: number, n: number, k: number): number;
  supports(kernel: KernelName, dtype: DType): boolean;
  memory(): MemoryStats;
  resetPeak(): void;
  synchronize(): void;
  setThreads(n: number): void;
  threads(): number;
  isa(): string;
}
