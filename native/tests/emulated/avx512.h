// The AVX-512 instructions that the kernels use, out of AVX2 and plain loops, so that their AVX-512 paths are tested on
// processors without it. Semantics follow the Intel intrinsics guide; nothing here is fast.
// Included before everything else; UNIMOER_EMULATED_AVX512F and so on stand for the compiler's -mavx512f and so on.
#pragma once
#include <immintrin.h>
#include <stdint.h>

#include <cmath>
#include <cstring>

#if defined(UNIMOER_EMULATED_AVX512F)
#define __AVX512F__ 1
#define __AVX512DQ__ 1
#define __AVX512VL__ 1
#define __AVX512BW__ 1
#endif
#if defined(UNIMOER_EMULATED_AVX512BF16)
#define __AVX512BF16__ 1
#endif
#if defined(UNIMOER_EMULATED_AVX512VNNI)
#define __AVX512VNNI__ 1
#endif
// A register of 64 bytes does not exist.
#define UM_VECTOR_REGISTER "+m"

namespace {
namespace emulated {

#define EM_INLINE inline __attribute__((always_inline))

template <class T, int kBytes = 64>
struct Words {
  T at[kBytes / sizeof(T)];
};
template <class T, class V>
EM_INLINE Words<T, sizeof(V)> words(const V& v) {
  Words<T, sizeof(V)> w;
  std::memcpy(&w, &v, sizeof v);
  return w;
}
template <class V, class T>
EM_INLINE V vector(const Words<T, sizeof(V)>& w) {
  V v;
  std::memcpy(&v, &w, sizeof v);
  return v;
}
// The vector whose word i is f(i).
template <class V, class T, class F>
EM_INLINE V each(const F& f) {
  Words<T, sizeof(V)> w;
  for (int i = 0; i < static_cast<int>(sizeof(V) / sizeof(T)); ++i) w.at[i] = static_cast<T>(f(i));
  return vector<V>(w);
}
template <class V>
EM_INLINE V read(const void* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class V>
EM_INLINE void write(void* p, const V& v) {
  std::memcpy(p, &v, sizeof v);
}
// Both halves by an AVX2 instruction.
template <class F>
EM_INLINE __m512 by_halves(__m512 a, __m512 b, __m512 c, const F& f) {
  const auto x = words<__m256>(a), y = words<__m256>(b), z = words<__m256>(c);
  return vector<__m512>(Words<__m256>{{f(x.at[0], y.at[0], z.at[0]), f(x.at[1], y.at[1], z.at[1])}});
}

// ---- memory

template <class T, class V>
EM_INLINE V load_masked(unsigned mask, const void* p) {
  const T* from = static_cast<const T*>(p);
  return each<V, T>([&](int i) { return mask >> i & 1 ? from[i] : T{}; });
}
template <class T, class V>
EM_INLINE void store_masked(void* p, unsigned mask, const V& v) {
  const auto w = words<T>(v);
  for (int i = 0; i < static_cast<int>(sizeof(V) / sizeof(T)); ++i)
    if (mask >> i & 1) static_cast<T*>(p)[i] = w.at[i];
}

// ---- floats

EM_INLINE __m512 fmadd(__m512 a, __m512 b, __m512 c) {
  return by_halves(a, b, c, [](__m256 x, __m256 y, __m256 z) { return _mm256_fmadd_ps(x, y, z); });
}
EM_INLINE __m512 fnmadd(__m512 a, __m512 b, __m512 c) {
  return by_halves(a, b, c, [](__m256 x, __m256 y, __m256 z) { return _mm256_fnmadd_ps(x, y, z); });
}
EM_INLINE __m512 max(__m512 a, __m512 b) {
  return by_halves(a, b, a, [](__m256 x, __m256 y, __m256) { return _mm256_max_ps(x, y); });
}
EM_INLINE __m512 min(__m512 a, __m512 b) {
  return by_halves(a, b, a, [](__m256 x, __m256 y, __m256) { return _mm256_min_ps(x, y); });
}
EM_INLINE __m512 sqrt(__m512 a) {
  return by_halves(a, a, a, [](__m256 x, __m256, __m256) { return _mm256_sqrt_ps(x); });
}
template <class F>
EM_INLINE __m512 map(__m512 a, const F& f) {
  const auto x = words<float>(a);
  return each<__m512, float>([&](int i) { return f(x.at[i]); });
}
// Relative error up to 2^-14, as the instruction has it.
EM_INLINE __m512 rcp14(__m512 a) {
  return map(a, [](float x) {
    const float y = 1.0f / x;
    uint32_t bits;
    std::memcpy(&bits, &y, 4);
    if (std::isfinite(y)) bits &= ~0x1ffu;
    float cut;
    std::memcpy(&cut, &bits, 4);
    return cut;
  });
}
EM_INLINE __m512 scalef(__m512 a, __m512 n) {
  const auto x = words<float>(a), y = words<float>(n);
  return each<__m512, float>([&](int i) {
    if (std::isnan(y.at[i])) return y.at[i];
    return std::ldexp(x.at[i], static_cast<int>(std::fmax(-1000.0f, std::fmin(1000.0f, std::floor(y.at[i])))));
  });
}
template <class F>
EM_INLINE float fold(__m512 a, const F& f) {
  auto x = words<float>(a);
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) x.at[i] = f(x.at[i], x.at[i + half]);
  return x.at[0];
}
template <class F>
EM_INLINE __mmask16 compare(__m512 a, __m512 b, const F& f) {
  const auto x = words<float>(a), y = words<float>(b);
  unsigned mask = 0;
  for (int i = 0; i < 16; ++i) mask |= static_cast<unsigned>(f(x.at[i], y.at[i])) << i;
  return static_cast<__mmask16>(mask);
}
template <int kPredicate>
EM_INLINE __mmask16 compare(__m512 a, __m512 b) {
  static_assert(kPredicate == _CMP_UNORD_Q || kPredicate == _CMP_GT_OQ);
  if constexpr (kPredicate == _CMP_UNORD_Q) return compare(a, b, [](float x, float y) { return x != x || y != y; });
  return compare(a, b, [](float x, float y) { return x > y; });
}
template <int kHow>
EM_INLINE __m512 round(__m512 a) {
  static_assert(kHow == 8);  // to the nearest, ties to even
  return map(a, [](float x) { return std::nearbyint(x); });
}
template <int kHow>
EM_INLINE __m512 reduce(__m512 a) {
  static_assert(kHow == (_MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
  return map(a, [](float x) { return std::isinf(x) ? 0.0f : x - std::floor(x); });
}

// ---- conversions

// What does not fit becomes the smallest integer.
EM_INLINE int32_t whole(float x) { return x >= -0x1p31f && x < 0x1p31f ? static_cast<int32_t>(x) : INT32_MIN; }
EM_INLINE __m512i to_int(__m512 a, bool truncate) {
  const auto x = words<float>(a);
  return each<__m512i, int32_t>([&](int i) { return whole(truncate ? std::trunc(x.at[i]) : std::nearbyint(x.at[i])); });
}
EM_INLINE __m512 to_float(__m512i a) {
  const auto x = words<int32_t>(a);
  return each<__m512, float>([&](int i) { return static_cast<float>(x.at[i]); });
}
template <class To, class From, class V, class A>
EM_INLINE V convert(const A& a) {
  const auto x = words<From>(a);
  return each<V, To>([&](int i) { return static_cast<To>(x.at[i]); });
}
// Denormals become zero, as the instruction has it.
EM_INLINE uint16_t to_bf16(float v) {
  uint32_t u;
  std::memcpy(&u, &v, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(u >> 16 | 0x40);
  if ((u & 0x7f800000u) == 0) return static_cast<uint16_t>(u >> 16 & 0x8000);
  return static_cast<uint16_t>((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

// ---- integers

typedef uint16_t U16 __attribute__((vector_size(64)));
typedef uint32_t U32 __attribute__((vector_size(64)));
typedef uint64_t U64 __attribute__((vector_size(64)));

// Word j of every group of 16 bytes, from a or, behind them, b.
template <class T, int kStart>
EM_INLINE __m512i unpack(__m512i a, __m512i b) {
  constexpr int kGroup = 16 / sizeof(T);
  const auto x = words<T>(a), y = words<T>(b);
  return each<__m512i, T>([&](int i) {
    const int from = i / kGroup * kGroup + kStart + i % kGroup / 2;
    return i % 2 ? y.at[from] : x.at[from];
  });
}
template <int kOrder>
EM_INLINE __m512i shuffle_groups(__m512i a, __m512i b) {
  const auto x = words<__m128i>(a), y = words<__m128i>(b);
  return vector<__m512i>(Words<__m128i>{
      {x.at[kOrder & 3], x.at[kOrder >> 2 & 3], y.at[kOrder >> 4 & 3], y.at[kOrder >> 6 & 3]}});
}
template <int kOrder>
EM_INLINE __m512i shuffle_words(__m512i a) {
  const auto x = words<int32_t>(a);
  return each<__m512i, int32_t>([&](int i) { return x.at[i / 4 * 4 + (kOrder >> 2 * (i % 4) & 3)]; });
}
EM_INLINE __m512i shuffle_bytes(__m512i a, __m512i order) {
  const auto x = words<uint8_t>(a), y = words<uint8_t>(order);
  return each<__m512i, uint8_t>([&](int i) { return y.at[i] & 0x80 ? 0 : x.at[i / 16 * 16 + (y.at[i] & 15)]; });
}
template <class T>
EM_INLINE __m512i blend(unsigned mask, __m512i a, __m512i b) {
  const auto x = words<T>(a), y = words<T>(b);
  return each<__m512i, T>([&](int i) { return mask >> i & 1 ? y.at[i] : x.at[i]; });
}
EM_INLINE __m512i madd16(__m512i a, __m512i b) {
  const auto x = words<int16_t>(a), y = words<int16_t>(b);
  return each<__m512i, int32_t>(
      [&](int i) { return x.at[2 * i] * y.at[2 * i] + x.at[2 * i + 1] * y.at[2 * i + 1]; });
}
// Unsigned bytes of a by signed bytes of b, four to a word.
template <class V>
EM_INLINE V dot_bytes(V sums, V a, V b) {
  const auto s = words<int32_t>(sums);
  const auto x = words<uint8_t>(a);
  const auto y = words<int8_t>(b);
  return each<V, int32_t>([&](int i) {
    int32_t sum = s.at[i];
    for (int j = 4 * i; j < 4 * i + 4; ++j) sum += x.at[j] * y.at[j];
    return sum;
  });
}
EM_INLINE __m512i mul_even(__m512i a, __m512i b) { return (__m512i)(((U64)a & 0xffffffffu) * ((U64)b & 0xffffffffu)); }
EM_INLINE __m512i permute16(__m512i a, __m512i order, __m512i b) {
  const auto x = words<uint16_t>(a), y = words<uint16_t>(b), o = words<uint16_t>(order);
  return each<__m512i, uint16_t>([&](int i) { return o.at[i] & 32 ? y.at[o.at[i] & 31] : x.at[o.at[i] & 31]; });
}
EM_INLINE __m512 permute_floats(__m512i order, __m512 a) {
  const auto x = words<float>(a);
  const auto o = words<uint32_t>(order);
  return each<__m512, float>([&](int i) { return x.at[o.at[i] & 15]; });
}
template <class... T>
EM_INLINE __m512i set16(T... from_last) {
  const int16_t given[32] = {static_cast<int16_t>(from_last)...};
  return each<__m512i, int16_t>([&](int i) { return given[31 - i]; });
}

// ---- bf16

EM_INLINE __m256i narrow(__m512 a) {
  const auto x = words<float>(a);
  return each<__m256i, uint16_t>([&](int i) { return to_bf16(x.at[i]); });
}
// The second pair of factors first.
EM_INLINE __m512 dot_bf16(__m512 sums, __m512i a, __m512i b) {
  const U32 x = (U32)a, y = (U32)b;
  sums = fmadd((__m512)(x & 0xffff0000u), (__m512)(y & 0xffff0000u), sums);
  return fmadd((__m512)(x << 16), (__m512)(y << 16), sums);
}

}  // namespace emulated
}  // namespace

#include "intrinsics.h"
