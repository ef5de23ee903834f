// Transposes of kWidth x kWidth words.
#pragma once
#include "simd.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

#if defined(__AVX512F__)
UM_INLINE void transpose(Vi v[16]) {
  __m512i r[16], t[16];
  for (int i = 0; i < 16; ++i) r[i] = (__m512i)v[i];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    v[i] = (Vi)_mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    v[i + 8] = (Vi)_mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}
#elif defined(__AVX2__)
UM_INLINE void transpose(Vi v[8]) {
  __m256 r[8], t[8];
  for (int i = 0; i < 8; ++i) r[i] = (__m256)v[i];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    v[i] = (Vi)_mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    v[i + 4] = (Vi)_mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
}
#else
UM_INLINE void transpose(Vi v[4]) {
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < i; ++j) {
      const int32_t x = v[i][j];
      v[i][j] = v[j][i];
      v[j][i] = x;
    }
  }
}
#endif

// From x with rows ldx words apart to y with rows ldy words apart.
UM_INLINE void transpose_words(const uint32_t* x, int64_t ldx, uint32_t* y, int64_t ldy) {
  Vi v[kWidth];
  for (int i = 0; i < kWidth; ++i) v[i] = load_int(reinterpret_cast<const int32_t*>(x + i * ldx));
  transpose(v);
  for (int i = 0; i < kWidth; ++i) store_int(reinterpret_cast<int32_t*>(y + i * ldy), v[i]);
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
