// A word of quantised weights as words of floats or bf16 pairs, in registers.
#pragma once
#include "cpu/gemm/quant/quant.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// Scales of group g for kLanes columns at `lane` of panel p.
template <int kBits>
UM_INLINE Vf lane_scales(const Quantized& q, int64_t p, int64_t g, int64_t lane) {
  if constexpr (kBits == 8)
    return load(q.scales() + p * kPanel + lane);
  else
    return load(q.group_scales(p) + g * q.width(p) + lane);
}

// Element j of each lane's word, sign-extended.
template <int kBits>
UM_INLINE Vf element(Vi word, int j, Vf scale) {
  const int shift = kBits == 8 ? 8 * j : j < 4 ? 8 * j : 8 * (j - 4) + 4;
  return to_vf((word << (32 - kBits - shift)) >> (32 - kBits)) * scale;
}

template <int kBits, bool kPairs, int kOut>
UM_INLINE void expand_word(Vi word, Vf scale, Vi (&out)[kOut]) {
#pragma GCC unroll 8
  for (int j = 0; j < kOut; ++j) {
    if constexpr (kPairs)
      out[j] = pack_pair(element<kBits>(word, 2 * j, scale), element<kBits>(word, 2 * j + 1, scale));
    else
      out[j] = (Vi)element<kBits>(word, j, scale);
  }
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
