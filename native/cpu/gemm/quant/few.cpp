// A few rows against a quantised weight: every weight is read once, so it is dequantised in registers.
// More columns at a time than a tile has keep the multiply-adds from waiting for each other.
#include "cpu/gemm/quant/expand.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

struct Few {
  const Quantized* q;
  const uint32_t* a;  // [words][rows]
  int64_t a_words;
  int64_t panel;
  const Output* out;
};

template <bool kPairs>
UM_INLINE Vf step(uint32_t x, Vi y, Vf acc) {
  const Vf wide = splat(bit_cast_to<float>(x));
#if defined(UM_HAS_BF16_DOT)
  if constexpr (kPairs) return dot_pair((Vi)wide, y, acc);
#endif
  return fma(wide, (Vf)y, acc);
}

// kVectors: 1 is a narrow panel, 2 a panel, 4 two panels.
template <int kBits, Compute kForm, int kRows, int kVectors>
void few(const Few& f) {
  constexpr bool kPairs = kForm == Compute::pairs;
  constexpr int kOut = kPairs ? 16 / kBits : 32 / kBits;
  const Quantized& q = *f.q;
  const int64_t width = kVectors == 1 ? kLanes : kPanel, words = q.words();
  const int64_t group = kBits == 8 ? words : q.group / 8;
  const auto* second = reinterpret_cast<const int32_t*>(q.panel(f.panel + (kVectors > 2)));
  const auto* in = reinterpret_cast<const int32_t*>(q.panel(f.panel));
  const Output& out = *f.out;
  const int64_t column = f.panel * kPanel, columns = smaller(kVectors * kLanes, q.n - column);
  Vf acc[kRows][kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) {
    const Vf start = out.bias && columns == kVectors * kLanes ? load(out.bias + column + j * kLanes) : splat(0.0f);
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) acc[i][j] = start;
  }
  const uint32_t* a = f.a;
  const Elements<kBits> elements;
  for (int64_t g = 0, i = 0; i < words; ++g) {
    Vf scale[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) scale[j] = lane_scales<kBits>(q, f.panel + j / 2, g, j % 2 * kLanes);
    for (const int64_t end = smaller(i + group, words); i < end; ++i, in += width, second += width, a += kOut * kRows) {
      __builtin_prefetch(in + 16 * width);
      if (kVectors > 2) __builtin_prefetch(second + 16 * width);
      const int64_t left = f.a_words - i * kOut;
      Vi y[kVectors][kOut];
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j)
        expand_word<kBits, kForm>(elements, load_int((j < 2 ? in : second) + j % 2 * kLanes), scale[j], y[j]);
      if (left >= kOut) {
#pragma GCC unroll 8
        for (int r = 0; r < kOut; ++r)
#pragma GCC unroll 4
          for (int i_row = 0; i_row < kRows; ++i_row)
#pragma GCC unroll 4
            for (int j = 0; j < kVectors; ++j)
              acc[i_row][j] = step<kPairs>(a[r * kRows + i_row], y[j][r], acc[i_row][j]);
      } else {
        for (int64_t r = 0; r < left; ++r)
          for (int i_row = 0; i_row < kRows; ++i_row)
            for (int j = 0; j < kVectors; ++j)
              acc[i_row][j] = step<kPairs>(a[r * kRows + i_row], y[j][r], acc[i_row][j]);
      }
    }
  }
  alignas(64) float sums[kRows * kVectors * kLanes];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) store(sums + (i * kVectors + j) * kLanes, acc[i][j]);
  Output rest = out;
  if (columns == kVectors * kLanes) rest.bias = nullptr;  // the sums began with it
  finish_block(sums, kVectors * kLanes, 0, kRows, column, columns, rest);
}

using FewFn = void (*)(const Few&);

template <int kBits, Compute kForm, int kRows = kFewRows>
FewFn by_rows(int64_t rows, int vectors) {
  if (rows == kRows)
    return vectors == 1   ? few<kBits, kForm, kRows, 1>
           : vectors == 2 ? few<kBits, kForm, kRows, 2>
                          : few<kBits, kForm, kRows, 4>;
  if constexpr (kRows > 1)
    return by_rows<kBits, kForm, kRows - 1>(rows, vectors);
  else
    return nullptr;
}

template <int kBits>
FewFn find(Compute form, int64_t rows, int vectors) {
#if defined(UM_HAS_BF16_DOT)
  if (form == Compute::pairs) return by_rows<kBits, Compute::pairs>(rows, vectors);
#else
  if (form == Compute::wide) return by_rows<kBits, Compute::wide>(rows, vectors);
#endif
  return by_rows<kBits, Compute::floats>(rows, vectors);
}

}  // namespace

void multiply_few(const Quantized& q, Compute form, const uint32_t* staged, int64_t rows, int64_t first, int64_t last,
                  const Output& out) {
  Few f{&q, staged, expanded_words(form, q.k), first, &out};
  while (f.panel < last) {
    const int64_t left = q.n - f.panel * kPanel;
    const int vectors = left <= kLanes ? 1 : left < 2 * kPanel || f.panel + 2 > last ? 2 : 4;
    (q.bits == 8 ? find<8>(form, rows, vectors) : find<4>(form, rows, vectors))(f);
    f.panel += vectors > 2 ? 2 : 1;
  }
}

}  // namespace unimoer::UNIMOER_ISA_NS
