// What every kernel source needs: argument checks, parallel loops over lambdas, row loops.
#pragma once
#include "simd.h"
#include "unimoer/kernel.h"
#include "unimoer/pool.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// Bytes of a rows x cols array, or -1 when that overflows or a side is negative.
UM_INLINE int64_t bytes_of(int64_t rows, int64_t cols, int64_t item) {
  int64_t r;
  if (rows < 0 || cols < 0 || __builtin_mul_overflow(rows, cols, &r) ||
      __builtin_mul_overflow(r, item, &r)) {
    return -1;
  }
  return r;
}
UM_INLINE int64_t item_bytes(int dtype) {
  return dtype == kF32 || dtype == kI32 ? 4 : dtype == kBF16 ? 2 : -1;
}
// Whether buffer i holds rows x cols items; an empty array needs no buffer.
UM_INLINE bool holds(const KernelArgs& a, int i, int64_t rows, int64_t cols, int64_t item) {
  const int64_t need = bytes_of(rows, cols, item);
  return need == 0 || a.has(i, need);
}
UM_INLINE bool holds_or_absent(const KernelArgs& a, int i, int64_t rows, int64_t cols,
                               int64_t item) {
  return a.buf[i] == nullptr || holds(a, i, rows, cols, item);
}
UM_INLINE Status too_small() {
  return fail(Status::bad_argument, "a buffer is missing or smaller than the shape needs");
}
UM_INLINE Status bad_dtype() {
  return fail(Status::unsupported, "the native backend has no kernel for this dtype");
}
UM_INLINE Status no_scratch() {
  return fail(Status::out_of_memory, "no memory for a kernel's scratch space");
}

// Calls f(float{}) or f(bf16{}).
template <class F>
UM_INLINE Status by_dtype(int64_t dtype, const F& f) {
  if (dtype == kF32) return f(float{});
  if (dtype == kBF16) return f(bf16{});
  return bad_dtype();
}

template <class F>
void run_range(void* ctx, int64_t begin, int64_t end, int) {
  (*static_cast<const F*>(ctx))(begin, end);
}
// f(begin, end) over [0, n) in chunks of `grain`.
template <class F>
UM_INLINE void parallel(int64_t n, int64_t grain, const F& f) {
  if (n > 0) parallel_for(n, grain, run_range<F>, const_cast<F*>(&f));
}

constexpr int64_t kGrain = 32768;  // elements of a light pass that are worth a task
UM_INLINE int64_t row_grain(int64_t cols, int64_t elements = kGrain) {
  const int64_t r = elements / (cols > 0 ? cols : 1);
  return r > 0 ? r : 1;
}

// body(i, n) for each group of n = kWidth elements, then for the rest with 0 < n < kWidth.
template <class F>
UM_INLINE void each_vector(int64_t begin, int64_t end, const F& body) {
  int64_t i = begin;
  for (; i + kWidth <= end; i += kWidth) body(i, kWidth);
  if (i < end) body(i, static_cast<int>(end - i));
}
template <class T>
UM_INLINE Vf get(const T* p, int n) {
  return n == kWidth ? load(p) : load_n(p, n);
}
template <class T>
UM_INLINE void put(T* p, Vf v, int n) {
  if (n == kWidth) {
    store(p, v);
  } else {
    store_n(p, v, n);
  }
}

// Sum of f(i, n) over [0, n): four accumulators in a fixed order. f must return 0 in absent lanes.
template <class F>
UM_INLINE float row_sum(int64_t n, const F& f) {
  Vf s0 = vzero(), s1 = vzero(), s2 = vzero(), s3 = vzero();
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    s0 = s0 + f(i, kWidth);
    s1 = s1 + f(i + kWidth, kWidth);
    s2 = s2 + f(i + 2 * kWidth, kWidth);
    s3 = s3 + f(i + 3 * kWidth, kWidth);
  }
  for (; i + kWidth <= n; i += kWidth) s0 = s0 + f(i, kWidth);
  if (i < n) s1 = s1 + f(i, static_cast<int>(n - i));
  return reduce_add((s0 + s1) + (s2 + s3));
}

// Maximum of f(i, n) over [0, n); f must return -inf in absent lanes.
template <class F>
UM_INLINE float row_max(int64_t n, const F& f) {
  Vf m0 = splat(-__builtin_inff()), m1 = m0;
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    m0 = vmax(m0, f(i, kWidth));
    m1 = vmax(m1, f(i + kWidth, kWidth));
  }
  for (; i + kWidth <= n; i += kWidth) m0 = vmax(m0, f(i, kWidth));
  if (i < n) m1 = vmax(m1, f(i, static_cast<int>(n - i)));
  return reduce_max(vmax(m0, m1));
}

// v as it reads back after a store in T.
template <class T>
UM_INLINE Vf stored_as(Vf v) {
  if constexpr (sizeof(T) == 4) {
    return v;
  } else {
    return (Vf)pack_pair(vzero(), v);
  }
}

// Rows are cut into chunks for column sums: each chunk adds its rows into its own partial row, and
// the partial rows are added in order. The cut depends on the number of rows alone.
struct RowChunks {
  int64_t rows, size, count;
  explicit RowChunks(int64_t n) : rows(n) {
    size = (n + 31) / 32 > 64 ? (n + 31) / 32 : 64;
    count = (n + size - 1) / size;
  }
};
UM_INLINE void add_partials(const float* partial, int64_t stride, int64_t count, int64_t cols,
                            float* out) {
  parallel(cols, 2048, [=](int64_t begin, int64_t end) {
    each_vector(begin, end, [=](int64_t i, int k) UM_BODY {
      Vf s = vzero();
      for (int64_t c = 0; c < count; ++c) s = s + get(partial + c * stride + i, k);
      put(out + i, s, k);
    });
  });
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
