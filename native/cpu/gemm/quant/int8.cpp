// Products of integers: activations in 8 bits with one scale per row, exact int32 sums, so that every
// instruction set gives the same bits.
#include "cpu/gemm/quant/quant.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// With VNNI a word holds 4 activations, biased to unsigned; else two words hold elements 0, 2 and 1, 3
// as pairs of int16.
#if defined(__AVX512VNNI__)
constexpr int kWordsPerQuad = 1;
#else
constexpr int kWordsPerQuad = 2;
#endif
constexpr float kSmallest = 0x1p-100f;  // rows below it are zero: 127 / largest must not overflow
constexpr int32_t kInfinity = 0x7f800000;

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

#if !defined(__AVX512VNNI__)
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
#endif

template <class T>
UM_INLINE Vi rounded(const T* x, Vf inverse, int n) {
  return to_int(get(x, n) * inverse);
}

// Writes a row's integers, padded to whole quads, and returns its scale. A row with NaN or an infinity
// gets a NaN scale.
template <class T>
float quantize_row(const T* x, int64_t k, void* out) {
  Vi most = {};
  each_vector(0, k, [&](int64_t i, int n) UM_BODY {
    const Vi bits = (Vi)get(x + i, n) & splat_word(0x7fffffffu);
    most = bits > most ? bits : most;
  });
  int32_t lanes[kLanes], largest = 0;
  store_int(lanes, most);
  for (int32_t v : lanes) largest = v > largest ? v : largest;
  const float top = bit_cast_to<float>(largest);
  const bool usable = largest < kInfinity && top >= kSmallest;
  const Vf inverse = splat(usable ? 127.0f / top : 0.0f);
  each_vector(0, k, [&](int64_t i, int n) UM_BODY {
    const Vi v = usable ? rounded(x + i, inverse, n) : Vi{};
#if defined(__AVX512VNNI__)
    const __m128i bytes = _mm512_cvtepi32_epi8((__m512i)v);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(static_cast<char*>(out) + i), _mm_xor_si128(bytes, _mm_set1_epi8(-128)));
#else
    store_int(lanes, v);
    int16_t* pairs = static_cast<int16_t*>(out) + i;
    for (int j = 0; j < n; j += 4) {
      pairs[j] = static_cast<int16_t>(lanes[j]);
      pairs[j + 1] = static_cast<int16_t>(lanes[j + 2]);
      pairs[j + 2] = static_cast<int16_t>(lanes[j + 1]);
      pairs[j + 3] = static_cast<int16_t>(lanes[j + 3]);
    }
#endif
  });
  return largest >= kInfinity ? __builtin_nanf("") : usable ? top / 127.0f : 0.0f;
}

struct IntTile {
  const uint32_t *a, *b;
  int64_t steps;         // quads
  const int32_t* sums;   // of the weight's columns
  const float* scale;    // of the columns
  const float* row_scale;
  const float* bias;     // may be null
  int columns;
  void* out;
  int64_t out_stride;
  bool half;
};

template <class T, int kRows, int kVectors>
UM_INLINE void finish(const IntTile& t, const Vi (&acc)[kRows][kVectors]) {
  T* out = static_cast<T*>(t.out);
#pragma GCC unroll 2
  for (int j = 0; j < kVectors; ++j) {
    const int n = t.columns - j * kLanes < kLanes ? t.columns - j * kLanes : kLanes;
    const Vf scale = load(t.scale + j * kLanes), bias = t.bias ? get(t.bias + j * kLanes, n) : splat(0.0f);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
      put(out + i * t.out_stride + j * kLanes, fused(to_vf(acc[i][j]), scale * splat(t.row_scale[i]), bias), n);
  }
}

template <int kRows, int kVectors>
void int_tile(const IntTile& t) {
  Vi acc[kRows][kVectors];
#pragma GCC unroll 2
  for (int j = 0; j < kVectors; ++j) {
#if defined(__AVX512VNNI__)
    const Vi start = -(load_int(t.sums + j * kLanes) << 7);
#else
    const Vi start = {};
#endif
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) acc[i][j] = start;
  }
  const uint32_t *a = t.a, *b = t.b;
  for (int64_t s = t.steps; s > 0; --s) {
    Vi y[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) y[j] = load_words(b + j * kLanes);
#if defined(__AVX512VNNI__)
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const __m512i x = (__m512i)splat_word(a[i]);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) acc[i][j] = (Vi)_mm512_dpbusd_epi32((__m512i)acc[i][j], x, (__m512i)y[j]);
    }
#else
    Vi even[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      even[j] = (Vi)(((Vs)y[j] << 8) >> 8);
      y[j] = (Vi)((Vs)y[j] >> 8);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vi x = splat_word(a[i]);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) acc[i][j] += multiply_pairs(x, even[j]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vi x = splat_word(a[kRows + i]);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) acc[i][j] += multiply_pairs(x, y[j]);
    }
#endif
    a += kWordsPerQuad * kRows;
    b += kVectors * kLanes;
  }
  if (t.half)
    finish<bf16, kRows, kVectors>(t, acc);
  else
    finish<float, kRows, kVectors>(t, acc);
}

using IntTileFn = void (*)(const IntTile&);

template <int kRows>
IntTileFn find(int rows, int vectors) {
  if (rows == kRows) return vectors == 1 ? int_tile<kRows, 1> : int_tile<kRows, 2>;
  if constexpr (kRows > 1)
    return find<kRows - 1>(rows, vectors);
  else
    return nullptr;
}

}  // namespace

int64_t staged_int_words(const Quantized& q) { return q.words() * kWordsPerQuad; }

size_t int_row_bytes(const Quantized& q, int64_t rows) {
  return static_cast<size_t>(rows) * static_cast<size_t>(staged_int_words(q)) * 4 + 64;
}

void stage_int_rows(const Quantized& q, const Source& x, int64_t row, int64_t rows, uint32_t* out, float* scale,
                    void* bytes) {
  const int64_t words = staged_int_words(q);
  for (int64_t i = 0; i < rows; ++i) {
    void* to = static_cast<uint32_t*>(bytes) + i * words;
    const int64_t at = (row + i) * x.lane_stride;
    scale[i] = x.dtype == kBF16 ? quantize_row(static_cast<const bf16*>(x.data) + at, q.k, to)
                                : quantize_row(static_cast<const float*>(x.data) + at, q.k, to);
  }
  // The interleaving moves words; what is in them does not matter to it.
  interleave_rows(out, Source{bytes, kF32, words, 1}, 0, rows, kTileRows, words, Compute::floats);
}

void multiply_int_block(const Quantized& q, int64_t p, const uint32_t* staged, const float* scale, int64_t row,
                        int64_t rows, const Output& out) {
  const int64_t column = p * kPanel, words = staged_int_words(q);
  const int columns = static_cast<int>(smaller(kPanel, q.n - column));
  const bool half = out.dtype == kBF16;
  for (int64_t i = 0; i < rows; i += kTileRows) {
    const int height = static_cast<int>(smaller(kTileRows, rows - i));
    char* place = static_cast<char*>(out.data) + ((row + i) * out.stride + column) * (half ? 2 : 4);
    find<kTileRows>(height, columns <= kLanes ? 1 : 2)(
        IntTile{staged + i * words, q.panel(p), q.words(), q.sums() + column, q.scales() + column, scale + i,
                out.bias ? out.bias + column : nullptr, columns, place, out.stride, half});
  }
}

}  // namespace unimoer::UNIMOER_ISA_NS
