#include "cpu/gemm/core/core.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

UM_INLINE Vf splat_word(uint32_t w) { return splat(bit_cast_to<float>(w)); }
UM_INLINE Vf load_word_vector(const uint32_t* p) { return load(reinterpret_cast<const float*>(p)); }

template <Compute kCompute, int kRows, int kVectors, bool kDirect>
void tile(const Tile& t) {
  constexpr int kWidthWords = kVectors * kLanes;
  Vf acc[kRows][kVectors];
  if (t.init) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) acc[i][j] = load(t.init + i * t.init_stride + j * kLanes);
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) acc[i][j] = splat(0.0f);
  }
  // The result's lines are on their way from memory while the sums are formed.
  const int64_t row_bytes = t.out_stride * (t.half ? 2 : 4);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const char* line = static_cast<const char*>(t.out) + i * row_bytes;
    __builtin_prefetch(line, 1, 3);
    __builtin_prefetch(line + kVectors * kLanes * 2 - 1, 1, 3);
    if (!t.half) __builtin_prefetch(line + kVectors * kLanes * 4 - 1, 1, 3);
  }
  const uint32_t* a = t.a;
  const int64_t a_row = kDirect ? t.a_stride : 1;
  const uint32_t* b = t.b;
  const uint32_t* next = t.next;
  for (int64_t s = t.steps; s > 0; --s) {
    if constexpr (kCompute == Compute::floats) {
      Vf y[kVectors];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) y[j] = load_word_vector(b + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const Vf x = splat_word(a[i * a_row]);
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) acc[i][j] = fma(x, y[j], acc[i][j]);
      }
      a += kDirect ? 1 : kRows;
    }
#if defined(UM_HAS_BF16_DOT)
    if constexpr (kCompute == Compute::pairs) {
      Vi y[kVectors];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) y[j] = (Vi)load_word_vector(b + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        Vi x = (Vi)splat_word(a[i * a_row]);
        // Used once, the broadcast would be folded into the dot instruction, which then takes 2.5 cycles.
        if constexpr (kVectors == 1) __asm__("" : "+v"(x));
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) acc[i][j] = dot_pair(x, y[j], acc[i][j]);
      }
      a += kDirect ? 1 : kRows;
    }
#endif
    if constexpr (kCompute == Compute::wide) {
      Vf y[kVectors];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) y[j] = (Vf)((Vi)load_word_vector(b + j * kLanes) << 16);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const Vf x = splat_word(a[i * a_row]);
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) acc[i][j] = fma(x, y[j], acc[i][j]);
      }
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j)
        y[j] = (Vf)((Vi)load_word_vector(b + j * kLanes) & (Vi)splat_word(0xffff0000u));
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const Vf x = splat_word(a[kRows + i]);
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) acc[i][j] = fma(x, y[j], acc[i][j]);
      }
      a += 2 * kRows;
    }
    b += kWidthWords;
    __builtin_prefetch(next, 0, 2);
    next += 16;
  }
  if (t.half) {
    auto* out = static_cast<bf16*>(t.out);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) store(out + i * t.out_stride + j * kLanes, acc[i][j]);
  } else {
    auto* out = static_cast<float*>(t.out);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) store(out + i * t.out_stride + j * kLanes, acc[i][j]);
  }
}

template <Compute kCompute, int kRows, bool kDirect>
TileFn find(int rows, int vectors) {
  if (rows == kRows) return vectors == 1 ? tile<kCompute, kRows, 1, kDirect> : tile<kCompute, kRows, 2, kDirect>;
  if constexpr (kRows > 1)
    return find<kCompute, kRows - 1, kDirect>(rows, vectors);
  else
    return nullptr;
}

template <Compute kCompute>
TileFn find(int rows, int vectors, bool direct) {
  return direct ? find<kCompute, kDirectRows, true>(rows, vectors) : find<kCompute, kTileRows, false>(rows, vectors);
}

}  // namespace

TileFn tile_kernel(Compute c, int rows, int vectors, bool direct) {
#if defined(UM_HAS_BF16_DOT)
  if (c == Compute::pairs) return find<Compute::pairs>(rows, vectors, direct);
#endif
  if (c == Compute::wide) return find<Compute::wide, kTileRows, false>(rows, vectors);
  return find<Compute::floats>(rows, vectors, direct);
}

Compute compute_for(int dtype_a, int dtype_b) {
  if (dtype_b == kF32) return Compute::floats;
#if defined(UM_HAS_BF16_DOT)
  if (dtype_a == kBF16) return Compute::pairs;
#endif
  (void)dtype_a;
  return Compute::wide;
}

}  // namespace unimoer::UNIMOER_ISA_NS
