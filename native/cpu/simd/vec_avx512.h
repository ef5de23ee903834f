// 16 lanes: AVX-512 F/BW/DQ/VL, with the BF16 conversions where the build has them.
#pragma once
#include <immintrin.h>

namespace unimoer::UNIMOER_ISA_NS {
namespace {

using Vf = __m512;
typedef int32_t Vi __attribute__((vector_size(64)));
constexpr int kWidth = 16;

UM_INLINE __mmask16 lane_mask(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
UM_INLINE Vf splat(float v) { return _mm512_set1_ps(v); }
UM_INLINE Vf load(const float* p) { return _mm512_loadu_ps(p); }
UM_INLINE void store(float* p, Vf v) { _mm512_storeu_ps(p, v); }
UM_INLINE Vf load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(lane_mask(n), p); }
UM_INLINE void store_n(float* p, Vf v, int n) { _mm512_mask_storeu_ps(p, lane_mask(n), v); }

UM_INLINE Vf widen(__m256i h) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
UM_INLINE __m256i narrow(Vf v) {
#if defined(__AVX512BF16__)
  return (__m256i)_mm512_cvtneps_pbh(v);
#else
  const __m512i u = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i r = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  const __m512i q = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(q, 16));
#endif
}
UM_INLINE Vf load(const bf16* p) {
  return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
UM_INLINE void store(bf16* p, Vf v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(v));
}
UM_INLINE Vf load_n(const bf16* p, int n) {
  return widen(_mm256_maskz_loadu_epi16(lane_mask(n), p));
}
UM_INLINE void store_n(bf16* p, Vf v, int n) {
  _mm256_mask_storeu_epi16(p, lane_mask(n), narrow(v));
}
UM_INLINE Vi load_int(const int32_t* p) { return (Vi)_mm512_loadu_si512(p); }
UM_INLINE Vi load_int_n(const int32_t* p, int n) {
  return (Vi)_mm512_maskz_loadu_epi32(lane_mask(n), p);
}
UM_INLINE void store_int(int32_t* p, Vi v) { _mm512_storeu_si512(p, (__m512i)v); }
UM_INLINE void store_int_n(int32_t* p, Vi v, int n) {
  _mm512_mask_storeu_epi32(p, lane_mask(n), (__m512i)v);
}

#if !defined(UM_VECTOR_REGISTER)
#define UM_VECTOR_REGISTER "+v"
#endif
// A value used once is not folded into the instruction that uses it.
UM_INLINE void keep_in_register(Vi& v) { __asm__("" : UM_VECTOR_REGISTER(v)); }

UM_INLINE Vf fma(Vf a, Vf b, Vf c) { return _mm512_fmadd_ps(a, b, c); }
UM_INLINE Vf fnma(Vf a, Vf b, Vf c) { return _mm512_fnmadd_ps(a, b, c); }
// Like the instructions, both return b when either is NaN.
UM_INLINE Vf vmax(Vf a, Vf b) { return _mm512_max_ps(a, b); }
UM_INLINE bool any_above(Vf a, Vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }
UM_INLINE Vf vmin(Vf a, Vf b) { return _mm512_min_ps(a, b); }
UM_INLINE Vf vsqrt(Vf a) { return _mm512_sqrt_ps(a); }
UM_INLINE Vf round_even(Vf a) { return _mm512_roundscale_ps(a, 8); }
UM_INLINE Vi to_int(Vf a) { return (Vi)_mm512_cvtps_epi32(a); }
UM_INLINE Vi to_int_trunc(Vf a) { return (Vi)_mm512_cvttps_epi32(a); }
UM_INLINE Vf to_vf(Vi a) { return _mm512_cvtepi32_ps((__m512i)a); }
// a * 2^n for integral n, with overflow to infinity and underflow through denormals.
UM_INLINE Vf scale2(Vf a, Vf n) { return _mm512_scalef_ps(a, n); }
UM_INLINE float reduce_add(Vf a) { return _mm512_reduce_add_ps(a); }
UM_INLINE float reduce_max(Vf a) { return _mm512_reduce_max_ps(a); }

// 32-bit words whose low half is bf16(a) and high half bf16(b).
UM_INLINE Vi pack_pair(Vf a, Vf b) {
#if defined(__AVX512BF16__)
  const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(b, a);
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                         23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return (Vi)_mm512_permutexvar_epi16(order, halves);
#else
  const __m512i lo = _mm512_cvtepu16_epi32(narrow(a));
  const __m512i hi = _mm512_cvtepu16_epi32(narrow(b));
  return (Vi)_mm512_or_si512(lo, _mm512_slli_epi32(hi, 16));
#endif
}

#if defined(__AVX512BF16__)
#define UM_HAS_BF16_DOT 1
UM_INLINE Vf dot_pair(Vi a, Vi b, Vf c) {
  return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
}
#endif

// The 64-bit products of each lane with m, split into their halves.
UM_INLINE void multiply_wide(Vi x, uint32_t m, Vi* low, Vi* high) {
  const __m512i k = _mm512_set1_epi32(static_cast<int>(m));
  const __m512i even = _mm512_mul_epu32((__m512i)x, k);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)x, 32), k);
  *low = (Vi)_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
  *high = (Vi)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
}
// Lane 4 g + j of the four inputs becomes the four lanes of group g of output j.
UM_INLINE void interleave4(const Vi (&x)[4], Vi (&y)[4]) {
  const __m512i a = _mm512_unpacklo_epi32((__m512i)x[0], (__m512i)x[1]);
  const __m512i b = _mm512_unpackhi_epi32((__m512i)x[0], (__m512i)x[1]);
  const __m512i c = _mm512_unpacklo_epi32((__m512i)x[2], (__m512i)x[3]);
  const __m512i d = _mm512_unpackhi_epi32((__m512i)x[2], (__m512i)x[3]);
  y[0] = (Vi)_mm512_unpacklo_epi64(a, c);
  y[1] = (Vi)_mm512_unpackhi_epi64(a, c);
  y[2] = (Vi)_mm512_unpacklo_epi64(b, d);
  y[3] = (Vi)_mm512_unpackhi_epi64(b, d);
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
