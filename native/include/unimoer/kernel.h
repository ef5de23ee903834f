// The kernel ABI: untyped buffers and numbers in, a status out. Shapes are checked in TypeScript;
// kernels check only what protects memory (buffer sizes, index ranges).
#pragma once
#include <stddef.h>
#include <stdint.h>

// Inlined everywhere: an out-of-line copy emitted by an AVX-512 file could be linked into the others.
#define UNIMOER_INLINE __attribute__((always_inline)) inline

namespace unimoer {

enum class Status : int { ok = 0, bad_argument = 1, unsupported = 2, out_of_memory = 3, internal = 4 };
enum DType : int { kF32 = 0, kBF16 = 1, kI32 = 2, kF64 = 3 };

// a*b for sizes: -1 if one is negative, and a size that no buffer has if the product overflows.
UNIMOER_INLINE int64_t product(int64_t a, int64_t b) {
  int64_t r;
  if (a < 0 || b < 0) return -1;
  return __builtin_mul_overflow(a, b, &r) ? INT64_MAX : r;
}

constexpr int kMaxBuffers = 32;
constexpr int kMaxArgs = 32;

struct KernelArgs {
  void* const* buf;        // null where the optional buffer is absent
  const size_t* bytes;     // capacity of each buffer
  int nbuf;
  const double* arg;
  int narg;

  template <class T>
  UNIMOER_INLINE T* ptr(int i) const { return static_cast<T*>(buf[i]); }
  // A number that is no exact integer size (NaN, beyond 2^53) reads as -1, which no size check accepts.
  UNIMOER_INLINE int64_t i(int k) const {
    return arg[k] >= -9007199254740992.0 && arg[k] <= 9007199254740992.0 ? static_cast<int64_t>(arg[k]) : -1;
  }
  UNIMOER_INLINE float f(int k) const { return static_cast<float>(arg[k]); }
  UNIMOER_INLINE bool has(int i, int64_t need_bytes) const {
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
  KernelFn fn[kKernelCount];                                    // null where no kernel is registered
  size_t (*packed_bytes)(int dtype, int64_t n, int64_t k);      // 0 for an unsupported dtype or size
  size_t (*quantized_bytes)(int bits, int64_t group, int64_t n, int64_t k);  // the same for quantised weights
};

}  // namespace unimoer
