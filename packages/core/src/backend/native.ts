import type { DType } from '../dtype';
import { BackendError, OutOfMemoryError } from '../errors';
import { type KernelName, kernelIds, kernelNames } from './kernels';
import { loadAddon, type NativeAddon } from './native-loader';
import type { Backend, Handle, MemoryStats } from './types';

/** The CPU backend in C++; f32, bf16 and i32. */
export class NativeBackend implements Backend {
  readonly name = 'native';
  private readonly handleArgs: Int32Array;
  private readonly numArgs: Float64Array;

  constructor(readonly addon: NativeAddon) {
    this.handleArgs = addon.handleArgs;
    this.numArgs = addon.numArgs;
  }

  alloc(bytes: number): Handle {
    const handle = this.addon.alloc(bytes);
    if (handle === 0) throw this.outOfMemory('alloc', `a request for ${bytes} bytes`);
    return handle;
  }

  free(handle: Handle): void {
    this.addon.free(handle);
  }

  write(handle: Handle, data: ArrayBufferView, byteOffset = 0): void {
    this.addon.write(handle, data, byteOffset);
  }

  read(handle: Handle, out: ArrayBufferView, byteOffset = 0): void {
    this.addon.read(handle, out, byteOffset);
  }

  launch(kernel: KernelName, buffers: readonly Handle[], args: readonly number[]): void {
    const handleArgs = this.handleArgs;
    const numArgs = this.numArgs;
    for (let i = 0; i < buffers.length; i++) handleArgs[i] = buffers[i]!;
    for (let i = 0; i < args.length; i++) numArgs[i] = args[i]!;
    const status = this.addon.launch(kernelIds[kernel], buffers.length, args.length);
    if (status !== 0) this.fail(status, kernel, args);
  }

  packedBytes(dtype: number, n: number, k: number): number {
    return this.addon.packedBytes(dtype, n, k);
  }

  quantizedBytes(bits: 8 | 4, group: number, n: number, k: number): number {
    return this.addon.quantizedBytes(bits, group, n, k);
  }

  supports(_kernel: KernelName, dtype: DType): boolean {
    return dtype !== 'f64';
  }

  memory(): MemoryStats {
    return this.addon.memory();
  }

  resetPeak(): void {
    this.addon.resetPeak();
  }

  synchronize(): void {}

  setThreads(n: number): void {
    this.addon.setThreads(n);
  }

  threads(): number {
    return this.addon.threads();
  }

  isa(): string {
    return this.addon.isa();
  }

  private outOfMemory(where: string, got: string): OutOfMemoryError {
    const live = Math.round(this.addon.memory().liveBytes / 2 ** 20);
    return new OutOfMemoryError({
      where,
      got: `${got} with ${live} MiB in use`,
      expected: 'enough free memory',
      remedy: 'use smaller batches or bf16',
    });
  }

  private fail(status: number, kernel: KernelName, args: readonly number[]): never {
    const detail = this.addon.lastError() || `status ${status}`;
    if (status === 3) throw this.outOfMemory(kernel, detail);
    throw new BackendError({
      where: kernel,
      got: `${detail} (arguments ${args.join(', ')})`,
      expected:
        status === 2
          ? 'a dtype this backend supports'
          : status === 1
            ? 'arguments that fit the buffers'
            : 'no internal failure',
      ...(status === 2 ? { remedy: 'cast the inputs or use the reference backend' } : {}),
    });
  }
}

export interface NativeLoad {
  backend: NativeBackend | null;
  addonPath: string | null;
  reason: string | null;
}

let loaded: NativeLoad | null = null;

/** Loads the addon once; reason says why there is none. */
export function loadNativeBackend(): NativeLoad {
  loaded ??= load();
  return loaded;
}

function load(): NativeLoad {
  const { addon, path, reason } = loadAddon();
  if (addon === null) return { backend: null, addonPath: null, reason };
  const same =
    addon.kernels.length === kernelNames.length &&
    addon.kernels.every((name, id) => name === kernelNames[id]);
  if (!same) {
    return {
      backend: null,
      addonPath: null,
      reason: `the addon ${path} has another list of kernels; rebuild it`,
    };
  }
  return { backend: new NativeBackend(addon), addonPath: path, reason: null };
}
