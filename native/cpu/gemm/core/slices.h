// Panels of bf16 pairs on instruction sets without a dot instruction: a slice at a time becomes floats in first-level
// cache, and all tiles of a block of rows read it there. Widened in registers instead, six rows need more than the
// sixteen that AVX2 has.
#pragma once
#include "cpu/gemm/core/core.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int64_t kSliceSteps = 384;  // even

// Steps [first, first + steps) of a panel, as a tile reads them.
struct Slice {
  Compute compute;
  const uint32_t* data;
  int64_t first, steps;
  bool last;
  const uint32_t* next;  // the words behind it
};

UM_INLINE void widen(const uint32_t* pairs, int64_t words, int vectors, float* out) {
  const int64_t width = vectors * kLanes;
  for (int64_t w = 0; w < words; ++w, pairs += width, out += 2 * width) {
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) {
      const Vi pair = load_int(reinterpret_cast<const int32_t*>(pairs) + j * kLanes);
      store(out + j * kLanes, (Vf)(pair << 16));
      store(out + width + j * kLanes, (Vf)((Vu)pair & 0xffff0000u));
    }
  }
}

// f(slice) in order; the whole panel, where nothing needs widening.
template <class F>
UM_INLINE void each_slice(Compute c, const uint32_t* panel, int64_t words, int vectors, const F& f) {
  const uint32_t* end = panel + words * vectors * kLanes;
  if (c != Compute::wide) return f(Slice{c, panel, 0, words, true, end});
  alignas(64) float widened[kSliceSteps * kPanel];
  const int64_t most = kSliceSteps / 2, slices = ceil_div(words, most), each = ceil_div(words, larger(slices, 1));
  for (int64_t w = 0; w < words; w += each) {
    const int64_t count = smaller(each, words - w);
    const uint32_t* from = panel + w * vectors * kLanes;
    if (vectors == 1)
      widen(from, count, 1, widened);
    else
      widen(from, count, 2, widened);
    f(Slice{Compute::floats, reinterpret_cast<const uint32_t*>(widened), 2 * w, 2 * count,
            w + count == words, from + count * vectors * kLanes});
  }
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
