// Activations in 8 bits with one scale per row, max |x| / 127.
#include "cpu/gemm/quant/int_tile.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr float kSmallest = 0x1p-100f;  // rows below it are zero: 127 / largest must not overflow
constexpr int32_t kInfinity = 0x7f800000;

template <class T>
UM_INLINE Vi rounded(const T* x, Vf inverse, int n) {
  return to_int(get(x, n) * inverse);
}

#if !defined(__AVX512VNNI__)
// Elements 0, 2, 1, 3 of each quad as int16; writes kLanes of them.
UM_INLINE void put_pairs(int16_t* out, Vi v) {
#if defined(__AVX512F__)
  const __m512i order = _mm512_shuffle_epi32((__m512i)v, _MM_PERM_DBCA);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(order));
#elif defined(__AVX2__)
  const __m256i order = _mm256_shuffle_epi32((__m256i)v, 0xd8);
  const __m256i pairs = _mm256_permute4x64_epi64(_mm256_packs_epi32(order, order), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(pairs));
#else
  int32_t lanes[kLanes];
  store_int(lanes, v);
  for (int j = 0; j < kLanes; j += 4) {
    out[j] = static_cast<int16_t>(lanes[j]);
    out[j + 1] = static_cast<int16_t>(lanes[j + 2]);
    out[j + 2] = static_cast<int16_t>(lanes[j + 1]);
    out[j + 3] = static_cast<int16_t>(lanes[j + 3]);
  }
#endif
}
#endif

// Writes a row's integers, padded to whole words of the weight, and returns its scale. A row with NaN or an infinity
// gets a NaN scale.
template <class T>
float quantize_row(const T* x, int64_t k, [[maybe_unused]] int bits, void* out) {
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
#if defined(__AVX512VNNI__)
  const __m128i bias = _mm_set1_epi8(bits == 8 ? -128 : 0);
#endif
  each_vector(0, k, [&](int64_t i, int n) UM_BODY {
    const Vi v = usable ? rounded(x + i, inverse, n) : Vi{};
#if defined(__AVX512VNNI__)
    const __m128i bytes = _mm512_cvtepi32_epi8((__m512i)v);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(static_cast<char*>(out) + i), _mm_xor_si128(bytes, bias));
#else
    put_pairs(static_cast<int16_t*>(out) + i, v);
#endif
  });
#if !defined(__AVX512VNNI__)
  const int64_t quads = ceil_div(k, 4);
  if (bits == 4 && quads % 2 != 0) __builtin_memset(static_cast<int16_t*>(out) + 4 * quads, 0, 8);
#endif
  return largest >= kInfinity ? __builtin_nanf("") : usable ? top / 127.0f : 0.0f;
}

// The bias of the codes takes 128 times the sum of a group's activations back.
void group_starts([[maybe_unused]] const Quantized& q, [[maybe_unused]] const void* row,
                  [[maybe_unused]] int64_t stride, [[maybe_unused]] int32_t* starts) {
#if defined(__AVX512VNNI__)
  const auto* bytes = static_cast<const char*>(row);
  for (int64_t g = 0, i = 0; i < q.k; ++g) {
    __m128i sums = {};
    for (const int64_t end = smaller(i + q.group, q.k); i < end; i += 16)
      sums = _mm_dpbusd_epi32(sums, _mm_set1_epi8(1), _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i)));
    sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0x4e));
    sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0xb1));
    starts[g * stride] = -128 * _mm_cvtsi128_si32(sums);
  }
#endif
}

}  // namespace

int64_t staged_int_words(const Quantized& q) { return q.words() * (q.bits == 8 ? 1 : 2) * kWordsPerQuad; }

size_t int_row_bytes(const Quantized& q, int64_t rows) {
  return static_cast<size_t>(rows) * static_cast<size_t>(staged_int_words(q)) * 4 + 64;
}

void stage_int_rows(const Quantized& q, const Source& x, const IntRows& rows, void* bytes) {
  const int64_t words = staged_int_words(q);
  for (int64_t i = 0; i < rows.count; ++i) {
    void* to = static_cast<uint32_t*>(bytes) + i * words;
    const int64_t at = i * x.lane_stride;
    rows.scale[i] = x.dtype == kBF16 ? quantize_row(static_cast<const bf16*>(x.data) + at, q.k, q.bits, to)
                                     : quantize_row(static_cast<const float*>(x.data) + at, q.k, q.bits, to);
    if (q.bits == 8) continue;
    const int64_t tile = i / rows.height * rows.height;
    group_starts(q, to, smaller(rows.height, rows.count - tile), rows.starts + tile * q.groups() + (i - tile));
  }
  // The interleaving moves words; what is in them does not matter to it.
  interleave_rows(rows.words, Source{bytes, kF32, words, 1}, 0, rows.count, rows.height, words, Compute::floats);
}

}  // namespace unimoer::UNIMOER_ISA_NS
