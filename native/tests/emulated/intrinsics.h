// The names of the intrinsics, led to their emulation.
#pragma once

#define _mm512_loadu_ps(p) emulated::read<__m512>(p)
#define _mm512_loadu_si512(p) emulated::read<__m512i>(p)
#define _mm512_load_si512(p) emulated::read<__m512i>(p)
#define _mm512_storeu_ps(p, v) emulated::write<__m512>(p, v)
#define _mm512_storeu_si512(p, v) emulated::write<__m512i>(p, v)
#define _mm512_maskz_loadu_ps(m, p) emulated::load_masked<float, __m512>(m, p)
#define _mm512_maskz_loadu_epi32(m, p) emulated::load_masked<int32_t, __m512i>(m, p)
#define _mm256_maskz_loadu_epi16(m, p) emulated::load_masked<int16_t, __m256i>(m, p)
#define _mm512_mask_storeu_ps(p, m, v) emulated::store_masked<float>(p, m, v)
#define _mm512_mask_storeu_epi32(p, m, v) emulated::store_masked<int32_t>(p, m, v)
#define _mm256_mask_storeu_epi16(p, m, v) emulated::store_masked<int16_t>(p, m, v)
#define _mm512_set1_ps(x) emulated::each<__m512, float>([&](int) { return x; })
#define _mm512_set1_epi32(x) emulated::each<__m512i, int32_t>([&](int) { return x; })
#define _mm512_set1_epi16(x) emulated::each<__m512i, int16_t>([&](int) { return x; })
#define _mm512_set_epi16(...) emulated::set16(__VA_ARGS__)
#define _mm512_broadcast_i32x4(x) emulated::each<__m512i, __m128i>([&](int) { return x; })
#define _mm512_castps_si512(v) ((__m512i)(v))
#define _mm512_castsi512_ps(v) ((__m512)(v))
#define _mm512_fmadd_ps emulated::fmadd
#define _mm512_fnmadd_ps emulated::fnmadd
#define _mm512_max_ps emulated::max
#define _mm512_min_ps emulated::min
#define _mm512_sqrt_ps emulated::sqrt
#define _mm512_rcp14_ps emulated::rcp14
#define _mm512_scalef_ps emulated::scalef
#define _mm512_roundscale_ps(v, how) emulated::round<how>(v)
#define _mm512_reduce_ps(v, how) emulated::reduce<how>(v)
#define _mm512_reduce_add_ps(v) emulated::fold(v, [](float a, float b) { return a + b; })
#define _mm512_reduce_max_ps(v) emulated::fold(v, [](float a, float b) { return a > b ? a : b; })
#define _mm512_cmp_ps_mask(a, b, how) emulated::compare<how>(a, b)
#define _mm512_cvtps_epi32(v) emulated::to_int(v, false)
#define _mm512_cvttps_epi32(v) emulated::to_int(v, true)
#define _mm512_cvtepi32_ps emulated::to_float
#define _mm512_cvtepu16_epi32(v) emulated::convert<int32_t, uint16_t, __m512i>(v)
#define _mm512_cvtepi8_epi32(v) emulated::convert<int32_t, int8_t, __m512i>(v)
#define _mm512_cvtepi32_epi16(v) emulated::convert<int16_t, int32_t, __m256i>(v)
#define _mm512_cvtepi32_epi8(v) emulated::convert<int8_t, int32_t, __m128i>(v)
#define _mm512_and_si512(a, b) ((a) & (b))
#define _mm512_or_si512(a, b) ((a) | (b))
#define _mm512_mask_or_epi32(v, m, a, b) emulated::blend<int32_t>(m, v, (a) | (b))
#define _mm512_mask_blend_epi32(m, a, b) emulated::blend<int32_t>(m, a, b)
#define _mm512_add_epi32(a, b) ((__m512i)((emulated::U32)(a) + (emulated::U32)(b)))
#define _mm512_add_epi16(a, b) ((__m512i)((emulated::U16)(a) + (emulated::U16)(b)))
#define _mm512_slli_epi32(v, n) ((__m512i)((emulated::U32)(v) << (n)))
#define _mm512_srli_epi32(v, n) ((__m512i)((emulated::U32)(v) >> (n)))
#define _mm512_slli_epi64(v, n) ((__m512i)((emulated::U64)(v) << (n)))
#define _mm512_srli_epi64(v, n) ((__m512i)((emulated::U64)(v) >> (n)))
#define _mm512_mul_epu32 emulated::mul_even
#define _mm512_madd_epi16 emulated::madd16
#define _mm512_dpbusd_epi32 emulated::dot_bytes<__m512i>
#undef _mm_dpbusd_epi32
#define _mm_dpbusd_epi32 emulated::dot_bytes<__m128i>
#define _mm512_unpacklo_epi32 emulated::unpack<int32_t, 0>
#define _mm512_unpackhi_epi32 emulated::unpack<int32_t, 2>
#define _mm512_unpacklo_epi64 emulated::unpack<int64_t, 0>
#define _mm512_unpackhi_epi64 emulated::unpack<int64_t, 1>
#define _mm512_shuffle_i32x4(a, b, order) emulated::shuffle_groups<order>(a, b)
#define _mm512_shuffle_epi32(v, order) emulated::shuffle_words<order>(v)
#define _mm512_shuffle_epi8 emulated::shuffle_bytes
#define _mm512_permutexvar_ps emulated::permute_floats
#define _mm512_permutexvar_epi16(order, v) emulated::permute16(v, order, v)
#define _mm512_permutex2var_epi16 emulated::permute16
#define _mm512_cvtneps_pbh emulated::narrow
#define _mm512_cvtne2ps_pbh(high, low) emulated::each<__m512i, __m256i>([&](int i) { return emulated::narrow(i ? high : low); })
#define _mm512_dpbf16_ps(sums, a, b) emulated::dot_bf16(sums, (__m512i)(a), (__m512i)(b))
