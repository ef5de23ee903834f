// Products of int8 weights with activations in 8 bits: exact int32 sums, so that every instruction set gives the
// same bits.
#include "cpu/gemm/quant/int_tile.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

struct ByteTile {
  const uint32_t *a, *b;
  int64_t steps;        // quads
  const int32_t* sums;  // of the weight's columns
  const float* scale;   // of the columns
  IntPlace place;
};

// kSplit: b holds pairs of int16 (split_bytes).
template <int kRows, int kVectors, bool kSplit>
void byte_tile(const ByteTile& t) {
  fetch_residual<kRows>(t.place);
  Vi acc[kRows][kVectors];
#pragma GCC unroll 2
  for (int j = 0; j < kVectors; ++j) {
    const Vi start = kBiased ? -(load_int(t.sums + j * kLanes) << 7) : Vi{};
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) acc[i][j] = start;
  }
  const uint32_t *a = t.a, *b = t.b;
  for (int64_t s = kSplit ? kWordsPerQuad * t.steps : t.steps; s > 0; --s) {
    Vi y[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) y[j] = load_words(b + j * kLanes);
    if constexpr (kSplit)
      add_pairs(a, y, acc);
    else
      add_quad<true>(a, y, acc);
    a += (kSplit ? 1 : kWordsPerQuad) * kRows;
    b += kVectors * kLanes;
  }
  finish<kRows, kVectors>(
      t.place, [&](int i, int j) UM_BODY { return to_vf(acc[i][j]); },
      [&](int i, int j) UM_BODY { return load(t.scale + j * kLanes) * splat(t.place.row_scale[i]); });
}

using ByteTileFn = void (*)(const ByteTile&);

template <bool kSplit, int kRows = kTileRows>
ByteTileFn find(int rows, int vectors) {
  if (rows == kRows) return vectors == 1 ? byte_tile<kRows, 1, kSplit> : byte_tile<kRows, 2, kSplit>;
  if constexpr (kRows > 1)
    return find<kSplit, kRows - 1>(rows, vectors);
  else
    return nullptr;
}

}  // namespace

void split_bytes(const Quantized& q, int64_t p, uint32_t* out) {
  const int64_t width = q.width(p), words = q.words();
  const uint32_t* in = q.panel(p);
  for (int64_t i = 0; i < words; ++i, in += width, out += 2 * width)
    for (int64_t j = 0; j < width; j += kLanes) {
      const Vi y = load_words(in + j);
      store_int(reinterpret_cast<int32_t*>(out + j), even_bytes(y));
      store_int(reinterpret_cast<int32_t*>(out + width + j), odd_bytes(y));
    }
}

void multiply_bytes(const Quantized& q, int64_t p, const uint32_t* split, const IntRows& rows, int64_t row,
                    const Output& out) {
  const int64_t column = p * kPanel, words = staged_int_words(q);
  const int columns = static_cast<int>(smaller(kPanel, q.n - column));
  for (int64_t i = 0; i < rows.count; i += rows.height) {
    const int height = static_cast<int>(smaller(rows.height, rows.count - i));
    const int vectors = columns <= kLanes ? 1 : 2;
    ByteTileFn tile = find<false>(height, vectors);
    if constexpr (kSplitsBytes) tile = split ? find<true>(height, vectors) : tile;
    tile(ByteTile{rows.words + i * words, split ? split : q.panel(p), q.words(), q.sums() + column, q.scales() + column,
                 IntPlace{rows.scale + i, &out, row + i, column, columns}});
  }
}

}  // namespace unimoer::UNIMOER_ISA_NS
