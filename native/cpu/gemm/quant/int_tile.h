// What products of integers share: how activations are laid out and multiplied.
#pragma once
#include "cpu/gemm/quant/codebook.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// A word holds the bytes of 4 neighbours along k, a quad. With VNNI one word holds 4 activations: for int8 weights
// biased to unsigned, for int4 weights signed, as the codes are biased. Else two words hold elements 0, 2 and 1, 3
// as pairs of int16, and all bytes are signed.
constexpr int kWordsPerQuad = kSplitsBytes ? 2 : 1;
constexpr bool kBiased = !kSplitsBytes;

typedef int16_t Vs __attribute__((vector_size(sizeof(Vi))));

UM_INLINE Vi splat_word(uint32_t w) { return (Vi)splat(bit_cast_to<float>(w)); }
UM_INLINE Vi load_words(const uint32_t* p) { return load_int(reinterpret_cast<const int32_t*>(p)); }

// One rounding on every instruction set.
UM_INLINE Vf fused(Vf a, Vf b, Vf c) {
#if defined(__AVX2__)
  return fma(a, b, c);
#else
  for (int i = 0; i < kLanes; ++i) a[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return a;
#endif
}

UM_INLINE Vi multiply_pairs(Vi a, Vi b) {
#if defined(__AVX512BW__)
  return (Vi)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (Vi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (Vi)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
  return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

UM_INLINE Vi even_bytes(Vi y) { return (Vi)(((Vs)y << 8) >> 8); }
UM_INLINE Vi odd_bytes(Vi y) { return (Vi)((Vs)y >> 8); }

// sums[i][j] += pairs of int16 in y[j] times those of row i.
template <int kRows, int kVectors>
UM_INLINE void add_pairs(const uint32_t* a, const Vi (&y)[kVectors], Vi (&sums)[kRows][kVectors]) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const Vi x = splat_word(a[i]);
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) sums[i][j] += multiply_pairs(x, y[j]);
  }
}

// sums[i][j] += weights y[j] of one quad times the activations of row i. kBiasedRows: which side has the bias.
template <bool kBiasedRows, int kRows, int kVectors>
UM_INLINE void add_quad(const uint32_t* a, const Vi (&y)[kVectors], Vi (&sums)[kRows][kVectors]) {
#if defined(__AVX512VNNI__)
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    Vi x = splat_word(a[i]);
    // Used once, the broadcast would be folded into the dot instruction, which then takes longer.
    if constexpr (kVectors == 1) keep_in_register(x);
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j)
      sums[i][j] = (Vi)(kBiasedRows ? _mm512_dpbusd_epi32((__m512i)sums[i][j], (__m512i)x, (__m512i)y[j])
                                    : _mm512_dpbusd_epi32((__m512i)sums[i][j], (__m512i)y[j], (__m512i)x));
  }
#else
  Vi even[kVectors], odd[kVectors];
#pragma GCC unroll 2
  for (int j = 0; j < kVectors; ++j) {
    even[j] = even_bytes(y[j]);
    odd[j] = odd_bytes(y[j]);
  }
  add_pairs(a, even, sums);
  add_pairs(a + kRows, odd, sums);
#endif
}

// A tile of rows and columns of the output.
struct IntPlace {
  const float* row_scale;
  const Output* out;
  int64_t row, column;
  int columns;

  template <class T>
  UM_INLINE T* at(T* data) const {
    return data + row * out->stride + column;
  }
};

// The lines of the residual are on their way from memory while the sums are formed.
template <int kRows>
UM_INLINE void fetch_residual(const IntPlace& t) {
  if (!t.out->residual) return;
  const int64_t item = dtype_size(t.out->dtype), stride = t.out->stride * item;
  const char* first = static_cast<const char*>(t.out->residual) + (t.row * t.out->stride + t.column) * item;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    __builtin_prefetch(first + i * stride);
    __builtin_prefetch(first + i * stride + t.columns * item - 1);
  }
}

// out[i][j] = v(i, j) * scale(i, j) + bias[j], rounded once, + residual[i][j].
template <int kRows, int kVectors, class V, class S>
UM_INLINE void finish(const IntPlace& t, const V& v, const S& scale) {
  const Output& out = *t.out;
  Vf bias[kVectors];
#pragma GCC unroll 2
  for (int j = 0; j < kVectors; ++j) {
    const int n = t.columns - j * kLanes < kLanes ? t.columns - j * kLanes : kLanes;
    bias[j] = out.bias ? get(out.bias + t.column + j * kLanes, n) : splat(0.0f);
  }
  const auto put_sums = [&](auto* to, int64_t stride) UM_BODY {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) store(to + i * stride + j * kLanes, fused(v(i, j), scale(i, j), bias[j]));
  };
  if (t.columns < kVectors * kLanes || out.residual) {
    alignas(64) float sums[kRows * kVectors * kLanes];
    put_sums(sums, kVectors * kLanes);
    Output rest = out;
    rest.bias = nullptr;
    finish_block(sums, kVectors * kLanes, t.row, kRows, t.column, t.columns, rest);
  } else if (out.dtype == kBF16) {
    put_sums(t.at(static_cast<bf16*>(out.data)), out.stride);
  } else {
    put_sums(t.at(static_cast<float*>(out.data)), out.stride);
  }
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
