/**
 * A backend from outside the library: it forwards to the reference backend and counts the kernels that a
 * computation launches. Ops never know which backend they run on.
 *
 *   node --import tsx --conditions=@unimoer/source examples/custom-backend.ts
 */
import {
  type Backend,
  backward,
  getBackend,
  type KernelName,
  matmul,
  mean,
  scope,
  setDefaultBackend,
  softmax,
  square,
  tensor,
} from '@unimoer/core';

const inner = getBackend('reference');
const launches = new Map<KernelName, number>();
const counting: Backend = {
  name: 'counting',
  alloc: (bytes) => inner.alloc(bytes),
  free: (handle) => inner.free(handle),
  write: (handle, data, offset) => inner.write(handle, data, offset),
  read: (handle, out, offset) => inner.read(handle, out, offset),
  launch(kernel, buffers, args) {
    launches.set(kernel, (launches.get(kernel) ?? 0) + 1);
    inner.launch(kernel, buffers, args);
  },
  packedBytes: (dtype, n, k) => inner.packedBytes(dtype, n, k),
  quantizedBytes: (bits, group, n, k) => inner.quantizedBytes(bits, group, n, k),
  supports: (kernel, dtype) => inner.supports(kernel, dtype),
  memory: () => inner.memory(),
  resetPeak: () => inner.resetPeak(),
  synchronize: () => inner.synchronize(),
  setThreads: (threads) => inner.setThreads(threads),
  threads: () => inner.threads(),
  isa: () => inner.isa(),
};

setDefaultBackend(counting);
scope(() => {
  const x = tensor([1, 2, 3, 4, 5, 6], [2, 3], { requiresGrad: true });
  const w = tensor([0.1, -0.2, 0.3, 0.4, -0.5, 0.6], [3, 2]);
  backward(mean(square(softmax(matmul(x, w)))));
  console.log('gradient:', [...x.grad!.toArray()].map((v) => v.toFixed(6)).join(' '));
});
console.log(Object.fromEntries([...launches].sort()));
