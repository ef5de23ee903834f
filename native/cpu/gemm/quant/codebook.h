// The 16 values that 4 bits stand for, in units of the group's scale. They are where the squared error of
// normally distributed weights in groups of 32 is least when each group takes its best scale, found by Lloyd's
// iteration and rounded to integers; a scale of either sign puts the group's extreme on either end. In memory,
// byte j of a word holds elements j (low) and 4 + j (high), so that two masks make two words of bytes.
#pragma once
#include "cpu/gemm/quant/quant.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int8_t kCodes[16] = {-127, -99, -78, -61, -46, -33, -21, -9, 2, 13, 24, 36, 49, 64, 82, 105};

UM_INLINE int nibble_shift(int64_t j) { return static_cast<int>(j < 4 ? 8 * j : 8 * (j - 4) + 4); }

UM_INLINE Vi splat_int(int32_t v) { return (Vi)splat(bit_cast_to<float>(v)); }

// Looks words of nibbles up, as bytes of codes, or of codes + 128.
struct ByteCodes {
#if defined(__AVX512BW__)
  __m512i table;
#elif defined(__AVX2__)
  __m256i table;
#else
  int8_t table[16];
#endif

  explicit UM_INLINE ByteCodes(bool biased) {
#if defined(__AVX2__)
    const __m128i bias = _mm_set1_epi8(biased ? -128 : 0);
    const __m128i codes = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kCodes)), bias);
#if defined(__AVX512BW__)
    table = _mm512_broadcast_i32x4(codes);
#else
    table = _mm256_broadcastsi128_si256(codes);
#endif
#else
    for (int i = 0; i < 16; ++i) table[i] = static_cast<int8_t>(biased ? kCodes[i] ^ -128 : kCodes[i]);
#endif
  }

  // Every byte's low half.
  UM_INLINE Vi find(Vi word) const {
#if defined(__AVX512BW__)
    return (Vi)_mm512_shuffle_epi8(table, (__m512i)word);
#elif defined(__AVX2__)
    return (Vi)_mm256_shuffle_epi8(table, (__m256i)word);
#else
    int8_t bytes[sizeof(Vi)];
    __builtin_memcpy(bytes, &word, sizeof word);
    for (int8_t& b : bytes) b = table[b & 15];
    __builtin_memcpy(&word, bytes, sizeof word);
    return word;
#endif
  }

  // Elements 0..3 and 4..7 of every lane.
  UM_INLINE void split(Vi word, Vi& low, Vi& high) const {
    const Vi mask = splat_int(0x0f0f0f0f);
    low = find(word & mask);
    high = find((word >> 4) & mask);
  }
};

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
