#include "cpu/gemm/core/core.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// Rows ahead that q is fetched, into the second-level cache: in the first, rows that lie far apart share few sets.
constexpr int64_t kAhead = 24;

struct LongTile {
  const float* lanes;
  int64_t lane_step;  // floats from step to step
  const void* q;
  int64_t q_step;  // elements from step to step
  int64_t steps;
  float* kept;  // where q goes on the way, one step behind the other, for the tiles that follow
  float* sums;
  int64_t stride;
  bool add;
};

// T: elements of q.
template <class T, int kRows, int kVectors, bool kKeep>
void long_tile(const LongTile& t) {
  Vf acc[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) acc[i][j] = splat(0.0f);
  const float* lanes = t.lanes;
  const T* q = static_cast<const T*>(t.q);
  const T* ahead = q + kAhead * t.q_step;
  float* kept = t.kept;
  for (int64_t s = t.steps; s > 0; --s, lanes += t.lane_step, q += t.q_step, ahead += t.q_step) {
    __builtin_prefetch(ahead, 0, 2);
    Vf y[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      y[j] = load(q + j * kLanes);
      if constexpr (kKeep) store(kept + j * kLanes, y[j]);
    }
    if constexpr (kKeep) kept += kVectors * kLanes;
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vf x = splat(lanes[i]);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) acc[i][j] = fma(x, y[j], acc[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      float* sum = t.sums + i * t.stride + j * kLanes;
      store(sum, t.add ? acc[i][j] + load(sum) : acc[i][j]);
    }
}

using LongTileFn = void (*)(const LongTile&);

template <class T, bool kKeep, int kRows = kTileRows>
LongTileFn find(int rows, int vectors) {
  if (rows == kRows) return vectors == 1 ? long_tile<T, kRows, 1, kKeep> : long_tile<T, kRows, 2, kKeep>;
  if constexpr (kRows > 1)
    return find<T, kKeep, kRows - 1>(rows, vectors);
  else
    return nullptr;
}

// Panel p of q as the first tile reads it: where it lies if that is possible, else interleaved.
struct PanelOf {
  const void* data;
  int dtype;
  int64_t step;
  int vectors;

  PanelOf(const Source& q, int64_t p, int64_t steps, int64_t columns, uint32_t* panels) {
    const int64_t rest = smaller(kPanel, columns - p * kPanel);
    vectors = rest <= kLanes ? 1 : 2;
    dtype = q.dtype;
    step = q.k_stride;
    data = static_cast<const char*>(q.data) + p * kPanel * q.lane_stride * dtype_size(q.dtype);
    if (q.lane_stride == 1 && rest == vectors * kLanes) return;
    interleave_panels(panels, Source{data, q.dtype, q.lane_stride, q.k_stride}, rest, steps, false, 0, 1);
    data = panels;
    dtype = kF32;
    step = vectors * kLanes;
  }
};

}  // namespace

void sum_pass(Compute c, const Lanes& lanes, int64_t rows, const Source& q, int64_t steps, int64_t columns,
              uint32_t* panels, float* sums, int64_t stride, bool add) {
  const int64_t height = tile_height(rows);
  const auto each_tile = [&](const auto& f) {
    for (int64_t i = 0; i < rows; i += height) f(i, static_cast<int>(smaller(height, rows - i)));
  };
  if (pairs_in_b(c)) {
    const int64_t words = words_b(c, steps);
    interleave_panels(panels, q, columns, steps, true, 0, panel_count(columns));
    for (int64_t p = 0; p < panel_count(columns); ++p) {
      const int vectors = columns - p * kPanel <= kLanes ? 1 : 2;
      each_tile([&](int64_t i, int count) {
        float* sum = sums + i * stride + p * kPanel;
        const uint32_t* a = lanes.data + i * lanes.words;
        tile_kernel(c, count, vectors)(
            Tile{a, panels + p * kPanel * words, words, add ? sum : nullptr, stride, sum, stride, false, a});
      });
    }
    return;
  }
  auto* kept = reinterpret_cast<float*>(panels);
  for (int64_t p = 0; p < panel_count(columns); ++p) {
    const PanelOf panel(q, p, steps, columns, panels);
    each_tile([&](int64_t i, int count) {
      const auto* a = reinterpret_cast<const float*>(lanes.data) + i * lanes.words;
      const bool follows = i > 0, keeps = !follows && rows > height && panel.data != panels;
      const LongTile tile{a, lanes.step ? lanes.step : count, follows ? kept : panel.data,
                          follows ? panel.vectors * kLanes : panel.step, steps, kept, sums + i * stride + p * kPanel,
                          stride, add};
      if (follows || panel.dtype == kF32)
        (keeps ? find<float, true> : find<float, false>)(count, panel.vectors)(tile);
      else
        (keeps ? find<bf16, true> : find<bf16, false>)(count, panel.vectors)(tile);
    });
  }
}

}  // namespace unimoer::UNIMOER_ISA_NS
