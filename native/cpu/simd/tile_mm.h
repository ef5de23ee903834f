// Small matrix products on tiles that live in cache: C[m, n] = A[m, k] B[k, n] in f32.
// Everything is addressed in 32-bit words along k: one float, or a pair of bf16 where the
// instruction set multiplies pairs. B is packed as [words][ldb]; A is read one word at a time.
#pragma once
#include "simd.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

typedef uint32_t AnyWord __attribute__((may_alias));  // floats and bf16 pairs are read through it

// How T is multiplied: `per` values to a word. bf16 without a pair instruction is widened to float.
template <class T>
struct Word {
  using type = float;
  static constexpr int per = 1;
  static constexpr bool direct = sizeof(T) == 4;  // whether memory already holds words
  UM_INLINE static Vf dot(uint32_t a, Vf b, Vf c) { return fma(splat(bit_cast_to<float>(a)), b, c); }
};
#if defined(UM_HAS_BF16_DOT)
template <>
struct Word<bf16> {
  using type = bf16;
  static constexpr int per = 2;
  static constexpr bool direct = true;
  UM_INLINE static Vf dot(uint32_t a, Vf b, Vf c) {
    return dot_pair((Vi)_mm512_set1_epi32(static_cast<int>(a)), (Vi)b, c);
  }
};
#endif

enum class Into { overwrite, add, scale_rows_and_add };

// A word (m, k) sits at a[m * lda + k], or at a[k * lda + m] when Across.
struct Tile {
  const uint32_t* a;
  int64_t lda;
  const uint32_t* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
  int64_t depth;  // words
  const float* row_scale;
};

template <class T, int MR, int NV, bool Across, Into Mode>
UM_INLINE void micro_tile(const Tile& t) {
  Vf acc[MR][NV];
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      if constexpr (Mode == Into::overwrite) {
        acc[m][v] = vzero();
      } else {
        acc[m][v] = load(t.c + m * t.ldc + v * kWidth);
        if constexpr (Mode == Into::scale_rows_and_add) {
          acc[m][v] = acc[m][v] * splat(t.row_scale[m]);
        }
      }
    }
  }
  // Three rows to a pointer: base, base + lda, base + 2 lda are all addressing modes.
  constexpr int kGroups = (MR + 2) / 3;
  const AnyWord* rows[kGroups];
  for (int g = 0; g < kGroups; ++g) rows[g] = Across ? t.a + 3 * g : t.a + 3 * g * t.lda;
  const uint32_t* b = t.b;
  const int64_t row = Across ? 1 : t.lda, step = Across ? t.lda : 1;
  for (int64_t k = 0; k < t.depth; ++k) {
    Vf bv[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) bv[v] = load(reinterpret_cast<const float*>(b) + v * kWidth);
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
      const uint32_t w = rows[m / 3][(m % 3) * row];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) acc[m][v] = Word<T>::dot(w, bv[v], acc[m][v]);
    }
#pragma GCC unroll 6
    for (int g = 0; g < kGroups; ++g) rows[g] += step;
    b += t.ldb;
  }
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) store(t.c + m * t.ldc + v * kWidth, acc[m][v]);
  }
}

template <class T, int MR, int NV, bool Across, Into Mode>
UM_INLINE int64_t rows_by(const Tile& t, int64_t m, int64_t rows) {
  for (; m + MR <= rows; m += MR) {
    const float* row_scale = Mode == Into::scale_rows_and_add ? t.row_scale + m : nullptr;
    micro_tile<T, MR, NV, Across, Mode>(Tile{Across ? t.a + m : t.a + m * t.lda, t.lda, t.b, t.ldb,
                                             t.c + m * t.ldc, t.ldc, t.depth, row_scale});
  }
  return m;
}

// The NV vectors of columns from vector `first` on.
template <class T, int NV, bool Across, Into Mode>
void columns_by(const Tile& whole, int64_t rows, int64_t first) {
  constexpr bool kManyRegisters = kWidth == 16;
  constexpr int kRows = kManyRegisters ? (NV == 4 ? 6 : NV == 3 ? 8 : 12) : (NV == 2 ? 6 : 12);
  // Field by field: a copy in wide loads would wait for the narrow stores that wrote it.
  const Tile t{whole.a,   whole.lda,   whole.b + first * kWidth, whole.ldb, whole.c + first * kWidth,
               whole.ldc, whole.depth, whole.row_scale};
  int64_t m = 0;
  if constexpr (kManyRegisters && NV == 2) {
    // 16 rows, a step of attention's keys or queries, in equal parts.
    if (rows == 16) m = rows_by<T, 8, NV, Across, Mode>(t, 0, rows);
  }
  m = rows_by<T, kRows, NV, Across, Mode>(t, m, rows);
  m = rows_by<T, 4, NV, Across, Mode>(t, m, rows);
  m = rows_by<T, 2, NV, Across, Mode>(t, m, rows);
  rows_by<T, 1, NV, Across, Mode>(t, m, rows);
}

// `columns` counts vectors of kWidth columns; B and C must be padded to that.
template <class T, bool Across, Into Mode>
UM_INLINE void multiply(const Tile& t, int64_t rows, int64_t columns) {
  constexpr int kMost = kWidth == 16 ? 4 : 2;
  int64_t v = 0;
  for (; v + kMost <= columns; v += kMost) columns_by<T, kMost, Across, Mode>(t, rows, v);
  if constexpr (kMost == 4) {
    if (columns - v == 3) columns_by<T, 3, Across, Mode>(t, rows, v);
    if (columns - v == 2) columns_by<T, 2, Across, Mode>(t, rows, v);
  }
  if (columns - v == 1) columns_by<T, 1, Across, Mode>(t, rows, v);
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
