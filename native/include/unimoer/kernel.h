// The kernel ABI: untyped buffers and numbers in, a status out. Shapes are checked in TypeScript;
// kernels check only what protects memory (buffer sizes, index ranges).
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace unimoer {

enum class Status : int { ok = 0, bad_argument = 1, unsupported = 2, out_of_memory = 3, internal = 4 };
enum DType : int { kF32 = 0, kBF16 = 1, kI32 = 2, kF64 = 3 };

constexpr int kMaxBuffers = 32;
constexpr int kMaxArgs = 32;

struct KernelArgs {
  void* const* buf;        // null where the optional buffer is absent
  const size_t* bytes;     // capacity of each buffer
  int nbuf;
  const double* arg;
  int narg;

  template <class T>
  T* ptr(int i) const { return static_cast<T*>(buf[i]); }
  int64_t i(int k) const { return static_cast<int64_t>(arg[k]); }
  float f(int k) const { return static_cast<float>(arg[k]); }
  bool has(int i, int64_t need_bytes) const {
    return buf[i] != nullptr && need_bytes >= 0 && bytes[i] >= static_cast<size_t>(need_bytes);
  }
};

using KernelFn = Status (*)(const KernelArgs&);

// Explains the last failure on this thread; a static string or one copied into a thread-local buffer.
Status fail(Status status, const char* message);

enum KernelId : int {
#define UNIMOER_KERNEL(name, nbuf, narg) k_##name,
#include "unimoer/kernels.def"
#undef UNIMOER_KERNEL
  kKernelCount
};

struct KernelTable {
  KernelFn fn[kKernelCount];
};

}  // namespace unimoer
