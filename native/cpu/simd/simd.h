// One float vector type per instruction set. Everything sits in an anonymous namespace inside the
// instruction set's own namespace, so that no inline code can leak from one build into another.
#pragma once
#include <stdint.h>

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes its own headers' "undefined" vectors for uninitialised reads.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#ifndef UNIMOER_ISA_NS
#define UNIMOER_ISA_NS portable
#endif
#define UM_INLINE inline __attribute__((always_inline))
#define UM_BODY __attribute__((always_inline))  // for lambdas

namespace unimoer::UNIMOER_ISA_NS {
namespace {

struct bf16 {
  uint16_t bits;
};

template <class To, class From>
UM_INLINE To bit_cast_to(From v) {
  static_assert(sizeof(To) == sizeof(From));
  To r;
  __builtin_memcpy(&r, &v, sizeof r);
  return r;
}

UM_INLINE float to_float(float v) { return v; }
UM_INLINE float to_float(bf16 v) { return bit_cast_to<float>(static_cast<uint32_t>(v.bits) << 16); }

template <class T>
UM_INLINE T from_float(float v);
template <>
UM_INLINE float from_float<float>(float v) {
  return v;
}
template <>
UM_INLINE bf16 from_float<bf16>(float v) {
  const uint32_t u = bit_cast_to<uint32_t>(v);
  if (v != v) return bf16{static_cast<uint16_t>((u >> 16) | 0x40)};
  return bf16{static_cast<uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16)};
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS

#if defined(__AVX512F__)
#include "vec_avx512.h"
#elif defined(__AVX2__)
#include "vec_avx2.h"
#else
#include "vec_portable.h"
#endif
#include "vec_math.h"
