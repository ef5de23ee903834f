#include "cpu/gemm/core/slices.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kSlotStaged = 4;  // scratch slot of this file
constexpr int64_t kBlockBytes = 320 << 10;   // staged rows of one block
constexpr int64_t kMaxTiles = 12;            // of one block
constexpr int64_t kWantedBlocks = 24;        // enough that two threads end together

template <class T>
void finish_rows(const float* acc, int64_t acc_stride, int64_t rows, int64_t columns, T* c, const Output& out, const float* bias,
                 const T* residual) {
  const Vf alpha = splat(out.alpha), beta = splat(out.beta);
  for (int64_t i = 0; i < rows; ++i, acc += acc_stride, c += out.stride, residual += residual ? out.stride : 0) {
    for (int64_t j = 0; j < columns; j += kLanes) {
      const int n = static_cast<int>(smaller(kLanes, columns - j));
      Vf v = load(acc + j);
      if (out.alpha != 1.0f) v = v * alpha;
      if (n == kLanes) {
        if (out.beta != 0.0f) v = fma(beta, load(c + j), v);
        if (bias) v = v + load(bias + j);
        if (residual) v = v + load(residual + j);
        store(c + j, v);
      } else {
        if (out.beta != 0.0f) v = fma(beta, load_n(c + j, n), v);
        if (bias) v = v + load_n(bias + j, n);
        if (residual) v = v + load_n(residual + j, n);
        store_n(c + j, v, n);
      }
    }
  }
}

struct MultiplyJob {
  Compute compute;
  Source a;
  int64_t m, k, block, panels_per_chunk, chunks_per_block;
  const Panels* b;
  const Output* out;
  bool failed;
};

void multiply_chunk(void* context, int64_t begin, int64_t end, int) {
  MultiplyJob& job = *static_cast<MultiplyJob*>(context);
  const size_t bytes = rows_bytes(job.compute, job.a, smaller(job.block, job.m), job.k);
  auto* staged = static_cast<uint32_t*>(scratch(kSlotStaged, bytes));
  if (!staged) {
    __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
    return;
  }
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    const int64_t row = chunk / job.chunks_per_block * job.block;
    const int64_t rows = smaller(job.block, job.m - row);
    const int64_t first = chunk % job.chunks_per_block * job.panels_per_chunk;
    const int64_t last = smaller(first + job.panels_per_chunk, panel_count(job.b->n));
    const Product product = rows_of(job.compute, job.a, row, rows, job.k, job.b, staged);
    multiply_block(&product, 1, row, rows, first, last, *job.out);
  }
}

// Where the sums of one panel go: tiles that fill it write the result, others sums that finish_block takes further.
struct OutputPanel {
  const Output& out;
  int64_t row, column, columns;
  int vectors;
  bool whole;

  OutputPanel(const Output& o, int64_t r, int64_t c, int64_t n)
      : out(o), row(r), column(c), columns(smaller(kPanel, n - c)), vectors(columns <= kLanes ? 1 : 2) {
    const bool plain = out.alpha == 1.0f && (out.beta == 0.0f || (out.beta == 1.0f && !out.residual));
    whole = plain && columns == vectors * kLanes;
  }
  // The ends of a tile at row i of the block, which begins or ends its sums or goes on with those in acc.
  void set(Tile& tile, int64_t i, bool begins, bool ends, float* acc) const {
    const bool half = out.dtype == kBF16;
    const int64_t offset = ((row + i) * out.stride + column) * (half ? 2 : 4);
    void* place = static_cast<char*>(out.data) + offset;
    tile.init = begins ? nullptr : acc;
    tile.out = acc;
    tile.init_stride = tile.out_stride = kPanel;
    if (begins && whole) {
      tile.bias = out.bias ? out.bias + column : nullptr;
      tile.init = out.beta != 0.0f ? place : out.residual ? static_cast<const char*>(out.residual) + offset : nullptr;
      tile.init_stride = out.stride;
      tile.init_half = half;
    }
    if (ends && whole) {
      tile.out = place;
      tile.out_stride = out.stride;
      tile.half = half;
    }
  }
};

// A tile after the other, through all products.
void tiles_by_row(const Product* products, int count, int64_t rows, int64_t p, bool first, const OutputPanel& to) {
  alignas(64) float acc[kTileRows * kPanel];
  for (int64_t i = 0; i < rows; i += kTileRows) {
    const int lanes = static_cast<int>(smaller(kTileRows, rows - i));
    for (int q = 0; q < count; ++q) {
      const Product& product = products[q];
      const int64_t words = product.b->words;
      const uint32_t* panel = product.b->data + p * kPanel * words;
      // While a panel is used tile by tile, the first tiles fetch the next one; with the first panel, rows that
      // lie in memory are fetched one tile ahead.
      const uint32_t* next = product.direct && first ? product.a + (i + kTileRows) * product.a_words
                                                     : panel + kPanel * words + i / kTileRows * 16 * words;
      const int64_t stride = product.direct ? product.a_words : 0;
      Tile tile{product.a + i * product.a_words, panel, words, nullptr, 0, nullptr, 0, false, next, stride};
      to.set(tile, i, q == 0, q == count - 1, acc);
      tile_kernel(product.compute, lanes, to.vectors, product.direct)(tile);
    }
    if (!to.whole) finish_block(acc, kPanel, to.row + i, lanes, to.column, to.columns, to.out);
  }
}

// A slice of the panel after the other, through all tiles. A sum goes on where the slice before left it, so that it has
// the bits of tiles_by_row.
void tiles_by_slice(const Product* products, int count, int64_t rows, int64_t p, const OutputPanel& to) {
  alignas(64) float acc[kMaxTiles * kTileRows * kPanel], sums[kMaxTiles * kTileRows * kPanel];
  for (int q = 0; q < count; ++q) {
    const Product& product = products[q];
    const int64_t words = product.b->words, stride = product.direct ? product.a_words : 0;
    each_slice(product.compute, product.b->data + p * kPanel * words, words, to.vectors, [&](const Slice& slice) {
      for (int64_t i = 0; i < rows; i += kTileRows) {
        const int lanes = static_cast<int>(smaller(kTileRows, rows - i));
        Tile tile{product.a + i * product.a_words + slice.first * (product.direct ? 1 : lanes), slice.data, slice.steps,
                  nullptr, 0, nullptr, 0, false, slice.next + i / kTileRows * 16 * slice.steps, stride};
        to.set(tile, i, q == 0, q == count - 1, acc + i * kPanel);
        if (slice.first) {
          tile.bias = nullptr;
          tile.start = sums + i * kPanel;
        }
        if (!slice.last) {
          tile.init = nullptr;
          tile.out = sums + i * kPanel;
          tile.out_stride = kPanel;
          tile.half = false;
        }
        tile_kernel(slice.compute, lanes, to.vectors, product.direct)(tile);
      }
    });
  }
  if (!to.whole) finish_block(acc, kPanel, to.row, rows, to.column, to.columns, to.out);
}

}  // namespace

void finish_block(const float* acc, int64_t acc_stride, int64_t row, int64_t rows, int64_t column, int64_t columns,
                  const Output& out) {
  const float* bias = out.bias ? out.bias + column : nullptr;
  const int64_t at = row * out.stride + column;
  const auto finish = [&](auto* c) {
    const auto* residual = static_cast<decltype(c)>(const_cast<void*>(out.residual));
    finish_rows(acc, acc_stride, rows, columns, c + at, out, bias, residual ? residual + at : nullptr);
  };
  if (out.dtype == kBF16)
    finish(static_cast<bf16*>(out.data));
  else
    finish(static_cast<float*>(out.data));
}

bool can_read_in_place(Compute c, const Source& a, int64_t k) {
  const bool half = c == Compute::pairs, even = k % 2 == 0 && (!half || a.lane_stride % 2 == 0);
  return a.k_stride == 1 && a.dtype == (half ? kBF16 : kF32) && (c == Compute::floats || even) &&
         a.lane_stride * dtype_size(a.dtype) % 4096 != 0;
}

Product rows_of(Compute c, const Source& a, int64_t row, int64_t rows, int64_t k, const Panels* b, uint32_t* staged) {
  if (can_read_in_place(c, a, k)) {
    const int64_t words = a.lane_stride / (c == Compute::pairs ? 2 : 1);
    return Product{c, static_cast<const uint32_t*>(a.data) + row * words, words, b, true};
  }
  interleave_rows(staged, a, row, rows, kTileRows, k, c);
  return Product{c, staged, words_a(c, k), b};
}

size_t rows_bytes(Compute c, const Source& a, int64_t rows, int64_t k) {
  return staged_bytes(can_read_in_place(c, a, k) ? 0 : rows, words_a(c, k));
}

void multiply_block(const Product* products, int count, int64_t row, int64_t rows, int64_t first, int64_t last,
                    const Output& out) {
  bool wide = false;
  for (int q = 0; q < count; ++q) wide = wide || products[q].compute == Compute::wide;
  for (int64_t p = first; p < last; ++p) {
    const OutputPanel panel(out, row, p * kPanel, products[0].b->n);
    if (wide && rows > kWideRows)
      tiles_by_slice(products, count, rows, p, panel);
    else
      tiles_by_row(products, count, rows, p, p == first, panel);
  }
}

int64_t block_rows(Compute c, int64_t m, int64_t k, int64_t wanted_blocks) {
  const int64_t fitting = kBlockBytes / (kTileRows * 4 * larger(words_a(c, k), 1));
  const int64_t balanced = ceil_div(m, kTileRows * wanted_blocks);
  // An even number of rows keeps bf16 pairs along rows inside one block.
  return kTileRows * larger(1, smaller(smaller(fitting, balanced), kMaxTiles));
}

Status multiply(Compute c, const Source& a, int64_t m, int64_t k, const Panels& packed, const Output& out) {
  if (m <= 0 || packed.n <= 0) return Status::ok;
  Panels b = packed;
  const Weight weight{&b, k};
  widen_once(c, &weight, 1, m);
  MultiplyJob job{c, a, m, k, block_rows(c, m, k, 8), 0, 0, &b, &out, false};
  const int64_t blocks = ceil_div(m, job.block), panels = panel_count(b.n);
  // Splitting columns repeats the staging of rows, so only as far as the balance needs it.
  const int64_t split = blocks >= kWantedBlocks ? 1 : ceil_div(kWantedBlocks, blocks);
  const int64_t least = larger(smaller(panels, 3), ceil_div(200000, kPanel * job.block * larger(k, 1)));
  job.panels_per_chunk = smaller(panels, larger(least, ceil_div(panels, split)));
  job.chunks_per_block = ceil_div(panels, job.panels_per_chunk);
  parallel_for(blocks * job.chunks_per_block, 1, multiply_chunk, &job);
  return job.failed ? fail(Status::out_of_memory, "no scratch memory for a matrix product") : Status::ok;
}

}  // namespace unimoer::UNIMOER_ISA_NS
