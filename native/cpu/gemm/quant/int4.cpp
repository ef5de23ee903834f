// Products of int4 weights with activations in 8 bits: exact int32 sums within a group, which are added in f32 with
// the group's scale, one rounding each, in the order of the groups. Every instruction set gives the same bits.
#include "cpu/gemm/quant/int_tile.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

struct NibbleTile {
  const uint32_t* a;
  const int32_t* starts;  // [groups][rows], what a group's sums start from
  const uint32_t* b;      // words of nibbles, or kCodeWords times as many from look_up_codes()
  int64_t words, group;   // of nibbles: all, and those of a group
  const bf16* scale;      // [groups][width]
  IntPlace place;
};

// kReady: the codes have been looked up before.
template <int kRows, int kVectors, bool kReady>
void nibble_tile(const NibbleTile& t) {
  fetch_residual<kRows>(t.place);
  constexpr int kWidthWords = kVectors * kLanes;
  Vf acc[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) acc[i][j] = splat(0.0f);
  const ByteCodes codes(kBiased);
  const uint32_t *a = t.a, *b = t.b;
  const int32_t* starts = t.starts;
  const bf16* scale = t.scale;
  for (int64_t done = 0; done < t.words;) {
    Vi sums[kRows][kVectors];
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sums[i][j] = kBiased ? splat_int(starts[i]) : Vi{};
    for (const int64_t end = smaller(done + t.group, t.words); done < end; ++done) {
      if constexpr (kReady) {
#pragma GCC unroll 4
        for (int q = 0; q < kCodeWords; ++q) {
          Vi y[kVectors];
#pragma GCC unroll 2
          for (int j = 0; j < kVectors; ++j) y[j] = load_words(b + q * kWidthWords + j * kLanes);
          if constexpr (kSplitsBytes)
            add_pairs(a + q * kRows, y, sums);
          else
            add_quad<false>(a + q * kRows, y, sums);
        }
      } else {
        Vi low[kVectors], high[kVectors];
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) codes.split(load_words(b + j * kLanes), low[j], high[j]);
        add_quad<false>(a, low, sums);
        add_quad<false>(a + kWordsPerQuad * kRows, high, sums);
      }
      a += 2 * kWordsPerQuad * kRows;
      b += (kReady ? kCodeWords : 1) * kWidthWords;
    }
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      const Vf s = load(scale + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) acc[i][j] = fused(to_vf(sums[i][j]), s, acc[i][j]);
    }
    scale += kWidthWords;
    starts += kRows;
  }
  finish<kRows, kVectors>(
      t.place, [&](int i, int j) UM_BODY { return acc[i][j]; },
      [&](int i, int) UM_BODY { return splat(t.place.row_scale[i]); });
}

using NibbleTileFn = void (*)(const NibbleTile&);

template <int kRows>
NibbleTileFn find(int rows, int vectors, bool ready) {
  if (rows == kRows)
    return vectors == 1 ? ready ? nibble_tile<kRows, 1, true> : nibble_tile<kRows, 1, false>
           : ready      ? nibble_tile<kRows, 2, true>
                        : nibble_tile<kRows, 2, false>;
  if constexpr (kRows > 1)
    return find<kRows - 1>(rows, vectors, ready);
  else
    return nullptr;
}

}  // namespace

void look_up_codes(const Quantized& q, int64_t p, uint32_t* out) {
  const ByteCodes codes(kBiased);
  const int64_t width = q.width(p), words = q.words();
  const uint32_t* in = q.panel(p);
  const auto put = [&](int64_t at, Vi v) UM_BODY { store_int(reinterpret_cast<int32_t*>(out + at), v); };
  for (int64_t i = 0; i < words; ++i, in += width, out += kCodeWords * width)
    for (int64_t j = 0; j < width; j += kLanes) {
      Vi low, high;
      codes.split(load_words(in + j), low, high);
      if constexpr (kSplitsBytes) {
        put(j, even_bytes(low));
        put(j + width, odd_bytes(low));
        put(j + 2 * width, even_bytes(high));
        put(j + 3 * width, odd_bytes(high));
      } else {
        put(j, low);
        put(j + width, high);
      }
    }
}

void multiply_nibbles(const Quantized& q, int64_t p, const uint32_t* ready, const IntRows& rows, int64_t row,
                      const Output& out) {
  const int64_t column = p * kPanel, words = staged_int_words(q);
  const int columns = static_cast<int>(smaller(kPanel, q.n - column));
  for (int64_t i = 0; i < rows.count; i += rows.height) {
    const int height = static_cast<int>(smaller(rows.height, rows.count - i));
    find<kGroupRows>(height, columns <= kLanes ? 1 : 2, ready != nullptr)(
        NibbleTile{rows.words + i * words, rows.starts + i * q.groups(), ready ? ready : q.panel(p), q.words(),
                   q.group / 8, q.group_scales(p), IntPlace{rows.scale + i, &out, row + i, column, columns}});
  }
}

}  // namespace unimoer::UNIMOER_ISA_NS
