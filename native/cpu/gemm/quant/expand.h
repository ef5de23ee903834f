// A word of quantised weights as words of another form, in registers.
#pragma once
#include "cpu/gemm/quant/codebook.h"

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

// Byte j of each lane, sign-extended.
UM_INLINE Vf byte_of(Vi word, int j) { return to_vf((word << (24 - 8 * j)) >> 24); }

// Takes words of kBits apart into floats, before the scale.
template <int kBits>
struct Elements {
#if defined(__AVX512F__)
  Vf table;  // a permutation looks 16 codes up at once
  UM_INLINE Elements() {
    const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kCodes));
    table = to_vf((Vi)_mm512_cvtepi8_epi32(codes));
  }
#else
  ByteCodes codes{false};
#endif

  UM_INLINE void take(Vi word, Vf (&out)[32 / kBits]) const {
    if constexpr (kBits == 8) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) out[j] = byte_of(word, j);
    } else {
#if defined(__AVX512F__)
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j)
        out[j] = _mm512_permutexvar_ps(_mm512_srli_epi32((__m512i)word, static_cast<unsigned>(nibble_shift(j))), table);
#else
      Vi low, high;
      codes.split(word, low, high);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        out[j] = byte_of(low, j);
        out[4 + j] = byte_of(high, j);
      }
#endif
    }
  }
};

// A finite value as it reads back from bf16.
UM_INLINE Vf rounded_to_bf16(Vf v) {
  const Vu bits = (Vu)v;
  return (Vf)((bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u);
}

// A float of the form kForm (quant.h).
template <Compute kForm>
UM_INLINE Vi float_word(Vf v) {
  return (Vi)(kForm == Compute::wide ? rounded_to_bf16(v) : v);
}

template <int kBits, Compute kForm, int kOut>
UM_INLINE void expand_word(const Elements<kBits>& elements, Vi word, Vf scale, Vi (&out)[kOut]) {
  Vf v[32 / kBits];
  elements.take(word, v);
#pragma GCC unroll 8
  for (int j = 0; j < kOut; ++j) {
    if constexpr (kForm == Compute::pairs)
      out[j] = pack_pair(v[2 * j] * scale, v[2 * j + 1] * scale);
    else
      out[j] = float_word<kForm>(v[j] * scale);
  }
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
