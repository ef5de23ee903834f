// 8 lanes: AVX2 and FMA.
#pragma once
#include <immintrin.h>

namespace unimoer::UNIMOER_ISA_NS {
namespace {

using Vf = __m256;
typedef int32_t Vi __attribute__((vector_size(32)));
constexpr int kWidth = 8;

UM_INLINE __m256i lane_mask(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
UM_INLINE Vf splat(float v) { return _mm256_set1_ps(v); }
UM_INLINE Vf load(const float* p) { return _mm256_loadu_ps(p); }
UM_INLINE void store(float* p, Vf v) { _mm256_storeu_ps(p, v); }
UM_INLINE Vf load_n(const float* p, int n) { return _mm256_maskload_ps(p, lane_mask(n)); }
UM_INLINE void store_n(float* p, Vf v, int n) { _mm256_maskstore_ps(p, lane_mask(n), v); }

UM_INLINE Vf widen(__m128i h) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
// bf16 bits in the low half of each 32-bit lane.
UM_INLINE __m256i round_bf16(Vf v) {
  const __m256i u = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  const __m256i r = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
  return _mm256_srli_epi32(_mm256_blendv_epi8(r, quiet, nan), 16);
}
UM_INLINE __m128i narrow(Vf v) {
  const __m256i r = round_bf16(v);
  const __m256i p = _mm256_packus_epi32(r, r);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(p, 0x08));
}
UM_INLINE Vf load(const bf16* p) {
  return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
UM_INLINE void store(bf16* p, Vf v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(v));
}
// Whole words by a mask; an odd half by itself.
UM_INLINE __m128i word_mask(int halves) {
  return _mm_cmpgt_epi32(_mm_set1_epi32(halves >> 1), _mm_setr_epi32(0, 1, 2, 3));
}
UM_INLINE __m128i half_mask(int i) {
  return _mm_cmpeq_epi16(_mm_set1_epi16(static_cast<int16_t>(i)), _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7));
}
UM_INLINE Vf load_n(const bf16* p, int n) {
  __m128i h = _mm_maskload_epi32(reinterpret_cast<const int*>(p), word_mask(n));
  if (n % 2) {
    const __m128i last = _mm_set1_epi16(static_cast<int16_t>(p[n - 1].bits));
    h = _mm_or_si128(h, _mm_and_si128(last, half_mask(n - 1)));
  }
  return widen(h);
}
UM_INLINE void store_n(bf16* p, Vf v, int n) {
  const __m128i h = narrow(v);
  _mm_maskstore_epi32(reinterpret_cast<int*>(p), word_mask(n), h);
  if (n % 2) {
    bf16 t[8];
    __builtin_memcpy(t, &h, sizeof t);
    p[n - 1] = t[n - 1];
  }
}
UM_INLINE Vi load_int(const int32_t* p) {
  return (Vi)_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
UM_INLINE Vi load_int_n(const int32_t* p, int n) {
  return (Vi)_mm256_maskload_epi32(p, lane_mask(n));
}
UM_INLINE void store_int(int32_t* p, Vi v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)v);
}
UM_INLINE void store_int_n(int32_t* p, Vi v, int n) {
  _mm256_maskstore_epi32(p, lane_mask(n), (__m256i)v);
}

UM_INLINE Vf fma(Vf a, Vf b, Vf c) { return _mm256_fmadd_ps(a, b, c); }
UM_INLINE Vf fnma(Vf a, Vf b, Vf c) { return _mm256_fnmadd_ps(a, b, c); }
UM_INLINE Vf vmax(Vf a, Vf b) { return _mm256_max_ps(a, b); }
UM_INLINE bool any_above(Vf a, Vf b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0;
}
UM_INLINE Vf vmin(Vf a, Vf b) { return _mm256_min_ps(a, b); }
UM_INLINE Vf vsqrt(Vf a) { return _mm256_sqrt_ps(a); }
UM_INLINE Vf round_even(Vf a) { return _mm256_round_ps(a, 8); }
UM_INLINE Vi to_int(Vf a) { return (Vi)_mm256_cvtps_epi32(a); }
UM_INLINE Vi to_int_trunc(Vf a) { return (Vi)_mm256_cvttps_epi32(a); }
UM_INLINE Vf to_vf(Vi a) { return _mm256_cvtepi32_ps((__m256i)a); }
UM_INLINE Vf power2(Vi n) { return (Vf)((n + 127) << 23); }
UM_INLINE Vf scale2(Vf a, Vf n) {
  const Vi k = to_int(n);
  const Vi h = k >> 1;
  return a * power2(h) * power2(k - h);
}
UM_INLINE float reduce_add(Vf a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
UM_INLINE float reduce_max(Vf a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}
UM_INLINE Vi pack_pair(Vf a, Vf b) {
  return (Vi)_mm256_or_si256(round_bf16(a), _mm256_slli_epi32(round_bf16(b), 16));
}

UM_INLINE void multiply_wide(Vi x, uint32_t m, Vi* low, Vi* high) {
  const __m256i k = _mm256_set1_epi32(static_cast<int>(m));
  const __m256i even = _mm256_mul_epu32((__m256i)x, k);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)x, 32), k);
  *low = (Vi)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
  *high = (Vi)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
UM_INLINE void interleave4(const Vi (&x)[4], Vi (&y)[4]) {
  const __m256i a = _mm256_unpacklo_epi32((__m256i)x[0], (__m256i)x[1]);
  const __m256i b = _mm256_unpackhi_epi32((__m256i)x[0], (__m256i)x[1]);
  const __m256i c = _mm256_unpacklo_epi32((__m256i)x[2], (__m256i)x[3]);
  const __m256i d = _mm256_unpackhi_epi32((__m256i)x[2], (__m256i)x[3]);
  y[0] = (Vi)_mm256_unpacklo_epi64(a, c);
  y[1] = (Vi)_mm256_unpackhi_epi64(a, c);
  y[2] = (Vi)_mm256_unpacklo_epi64(b, d);
  y[3] = (Vi)_mm256_unpackhi_epi64(b, d);
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
