// Scores of rows against columns, a tile at a time, for losses that keep no score matrix:
// score[row, column] = scale * (x[row] . c[column]) + mask[row, column].
// Tiles of columns, blocks of rows and groups of tiles depend on the shape alone, and their results are
// combined in order.
#pragma once
#include "cpu/gemm/core/slices.h"
#include "cpu/simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kSlotReverse = 2, kSlotWeights = 3, kSlotTile = 4, kSlotRows = 5, kSlotPartial = 6, kSlotColumns = 7;
constexpr int64_t kTileColumns = 512;  // a multiple of every panel width, and even
constexpr int64_t kWantedTasks = 16;

struct Scores {
  Compute compute;
  int64_t rows, k;
  const uint32_t* staged;  // all rows, interleaved
  Panels columns;
  float scale;
  const float* mask;  // null for none; element (row, column) at row * mask_row + column * mask_column
  int64_t mask_row, mask_column;

  UM_INLINE int64_t tiles() const { return ceil_div(columns.n, kTileColumns); }
  UM_INLINE int64_t width(int64_t tile) const { return smaller(kTileColumns, columns.n - tile * kTileColumns); }
  UM_INLINE int64_t block() const { return block_rows(compute, rows, k, larger(1, kWantedTasks / tiles())); }
};

// Every row of x, interleaved in the caller's scratch; null when memory is exhausted.
UM_INLINE uint32_t* stage_rows(const Source& x, int64_t rows, int64_t k, Compute c) {
  auto* staged = static_cast<uint32_t*>(scratch(kSlotRows, staged_bytes(rows, words_a(c, k))));
  if (staged) interleave_rows(staged, x, 0, rows, kTileRows, k, c);
  return staged;
}

// tile[i * kTileColumns + j] = score of (row + i, tile's column j).
void score_tile(const Scores& s, int64_t row, int64_t rows, int64_t tile, float* out) {
  const int64_t words = words_a(s.compute, s.k), column = tile * kTileColumns, width = s.width(tile);
  const Panels part{s.columns.data + column * s.columns.words, width, s.columns.words};
  const Product product{s.compute, s.staged + row * words, words, &part};
  multiply_block(&product, 1, 0, rows, 0, panel_count(width), Output{out, kF32, kTileColumns, nullptr, 1.0f, 0.0f});
  if (s.scale == 1.0f && !s.mask) return;
  const Vf scale = splat(s.scale);
  for (int64_t i = 0; i < rows; ++i) {
    float* line = out + i * kTileColumns;
    const float* mask = s.mask ? s.mask + (row + i) * s.mask_row + column * s.mask_column : nullptr;
    if (mask && s.mask_column != 1) {
      for (int64_t j = 0; j < width; ++j) line[j] = line[j] * s.scale + mask[j * s.mask_column];
    } else {
      each_vector(0, width, [=](int64_t j, int n) UM_BODY {
        const Vf v = get(line + j, n) * scale;
        put(line + j, mask ? v + get(mask + j, n) : v, n);
      });
    }
  }
}

struct Part {
  float max, sum;  // sum of exp(score - max)
};

// lse[row] = log of the summed exponentials of its scores; target_score[row] = score at its target, where it has one.
Status log_sum_exp(const Scores& s, const int32_t* target, float* lse, float* target_score) {
  const int64_t tiles = s.tiles(), block = s.block(), blocks = ceil_div(s.rows, block);
  auto* parts = static_cast<Part*>(scratch(kSlotPartial, static_cast<size_t>(tiles * s.rows) * sizeof(Part)));
  if (!parts) return no_scratch();
  bool failed = false;
  parallel(tiles * blocks, 1, [&](int64_t begin, int64_t end) {
    auto* tile = static_cast<float*>(scratch(kSlotTile, static_cast<size_t>(block * kTileColumns) * 4));
    if (!tile) return __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t at = task / blocks, row = task % blocks * block, rows = smaller(block, s.rows - row);
      const int64_t column = at * kTileColumns, width = s.width(at);
      score_tile(s, row, rows, at, tile);
      for (int64_t i = 0; i < rows; ++i) {
        const float* line = tile + i * kTileColumns;
        const float max = row_max(width, [=](int64_t j, int n) UM_BODY {
          return keep(get(line + j, n), n, splat(-__builtin_inff()));
        });
        const Vf shift = splat(max);
        const float sum = row_sum(width, [=](int64_t j, int n) UM_BODY {
          return keep(vexp(get(line + j, n) - shift), n, vzero());
        });
        parts[at * s.rows + row + i] = Part{max, sum};
        const int64_t own = target[row + i] - column;
        if (own >= 0 && own < width) target_score[row + i] = line[own];
      }
    }
  });
  if (failed) return no_scratch();
  for (int64_t r = 0; r < s.rows; ++r) {
    float max = parts[r].max, sum = 0.0f;
    for (int64_t t = 1; t < tiles; ++t) max = max < parts[t * s.rows + r].max ? parts[t * s.rows + r].max : max;
    for (int64_t t = 0; t < tiles; ++t) {
      const Part part = parts[t * s.rows + r];
      sum += part.sum * vexp(splat(part.max - max))[0];
    }
    lse[r] = max + vlog(splat(sum))[0];
  }
  return Status::ok;
}

// Adds weights [rows, width] times the vectors of the tile's columns to sums [rows, stride].
UM_INLINE void add_columns(const Scores& s, const uint32_t* weights, int64_t rows, int64_t tile, const Panels& reverse,
                           float* sums, int64_t stride, bool first) {
  const bool pairs = pairs_in_b(s.compute);
  const int64_t width = s.width(tile), words = words_a(s.compute, width), steps = words_b(s.compute, width);
  const int64_t skipped = tile * (pairs ? kTileColumns / 2 : kTileColumns);
  for (int64_t p = 0; p < panel_count(reverse.n); ++p) {
    const int vectors = reverse.n - p * kPanel <= kLanes ? 1 : 2;
    const uint32_t* panel = reverse.data + p * kPanel * reverse.words + skipped * vectors * kLanes;
    each_slice(s.compute, panel, steps, vectors, [&](const Slice& slice) {
      for (int64_t i = 0; i < rows; i += kTileRows) {
        const int lanes = static_cast<int>(smaller(kTileRows, rows - i));
        float* out = sums + i * stride + p * kPanel;
        const bool begins = first && slice.first == 0;
        tile_kernel(slice.compute, lanes, vectors)(
            Tile{weights + i * words + slice.first * lanes, slice.data, slice.steps, begins ? nullptr : out, stride, out,
                 stride, false, panel + kPanel * reverse.words + i / kTileRows * 16 * steps});
      }
    });
  }
}

// dx[row] = sum over columns of weight * c[column]. weigh(line, row, column, width) turns the scores of one row into
// weights; `reverse` holds the columns' vectors as panels over k.
template <class T, class F>
Status weighted_sum(const Scores& s, const Panels& reverse, T* dx, const F& weigh) {
  const int64_t tiles = s.tiles(), block = s.block(), blocks = ceil_div(s.rows, block);
  const int64_t per_group = ceil_div(tiles, larger(1, kWantedTasks / blocks)), groups = ceil_div(tiles, per_group);
  const int64_t stride = padded_columns(s.k);
  auto* partial = static_cast<float*>(scratch(kSlotPartial, static_cast<size_t>(groups * s.rows * stride) * 4));
  if (!partial) return no_scratch();
  bool failed = false;
  parallel(groups * blocks, 1, [&](int64_t begin, int64_t end) {
    auto* tile = static_cast<float*>(scratch(kSlotTile, static_cast<size_t>(block * kTileColumns) * 4));
    auto* weights = static_cast<uint32_t*>(scratch(kSlotWeights, staged_bytes(block, words_a(s.compute, kTileColumns))));
    if (!tile || !weights) return __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t group = task / blocks, row = task % blocks * block, rows = smaller(block, s.rows - row);
      float* sums = partial + (group * s.rows + row) * stride;
      const int64_t first = group * per_group, last = smaller(first + per_group, tiles);
      for (int64_t at = first; at < last; ++at) {
        const int64_t width = s.width(at);
        score_tile(s, row, rows, at, tile);
        for (int64_t i = 0; i < rows; ++i) weigh(tile + i * kTileColumns, row + i, at * kTileColumns, width);
        interleave_rows(weights, Source{tile, kF32, kTileColumns, 1}, 0, rows, kTileRows, width, s.compute);
        add_columns(s, weights, rows, at, reverse, sums, stride, at == first);
      }
    }
  });
  if (failed) return no_scratch();
  parallel(s.rows, row_grain(s.k * groups), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      each_vector(0, s.k, [&](int64_t j, int n) UM_BODY {
        Vf sum = get(partial + r * stride + j, n);
        for (int64_t g = 1; g < groups; ++g) sum = sum + get(partial + (g * s.rows + r) * stride + j, n);
        put(dx + r * s.k + j, sum, n);
      });
  });
  return Status::ok;
}

// Row r's weights: slope[r] * (softmax - one-hot of the target); none where the target is -1.
struct SoftmaxOfRows {
  const float *slope, *lse;
  const int32_t* target;
  float scale;

  UM_INLINE void operator()(float* line, int64_t row, int64_t column, int64_t width) const {
    const bool ignored = target[row] < 0;
    const Vf g = splat(slope[row] * scale), shift = splat(lse[row]);
    each_vector(0, width, [=](int64_t j, int n) UM_BODY {
      put(line + j, ignored ? vzero() : g * vexp(get(line + j, n) - shift), n);
    });
    const int64_t own = target[row] - column;
    if (own >= 0 && own < width) line[own] -= slope[row] * scale;
  }
};

Status check_score_targets(const int32_t* target, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; ++r)
    if (target[r] < -1 || target[r] >= columns)
      return fail(Status::bad_argument, "a target lies outside -1..columns-1");
  return Status::ok;
}

// loss holds the scores of the targets and becomes lse - score.
UM_INLINE void finish_loss(const int32_t* target, const float* lse, float* loss, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) loss[r] = target[r] < 0 ? 0.0f : lse[r] - loss[r];
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
