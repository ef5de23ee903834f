#include "cpu/gemm/core/core.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kSlotStaged = 4, kSlotShared = 5, kSlotSums = 6;  // scratch slots of this file
constexpr int64_t kBlockBytes = 320 << 10;   // staged rows of one block
constexpr int64_t kWantedBlocks = 24;        // enough that two threads end together
constexpr int64_t kTallSteps = 128;          // words per pass of a long sum
constexpr int64_t kTallPanels = 3;

template <class T>
void finish_rows(const float* acc, int64_t rows, int64_t columns, T* c, const Output& out, const float* bias,
                 const T* residual) {
  const Vf alpha = splat(out.alpha), beta = splat(out.beta);
  for (int64_t i = 0; i < rows; ++i, acc += kPanel, c += out.stride, residual += residual ? out.stride : 0) {
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

struct TallJob {
  Compute compute;
  const uint32_t* p;  // staged, tiles of `height` lanes
  int64_t r, height, t, words;
  Source q;
  int64_t n;
  float* out;
  bool transposed, failed;
};

void store_tall(const TallJob& job, const float* sums, int64_t column, int64_t columns) {
  constexpr int64_t stride = kTallPanels * kPanel;
  if (job.transposed) {
    for (int64_t j = 0; j < columns; ++j)
      for (int64_t i = 0; i < job.r; ++i) job.out[(column + j) * job.r + i] = sums[i * stride + j];
  } else {
    for (int64_t i = 0; i < job.r; ++i)
      for (int64_t j = 0; j < columns; ++j) job.out[i * job.n + column + j] = sums[i * stride + j];
  }
}

// A group of columns: passes over t, each interleaving its part of q into first-level cache.
void tall_columns(TallJob& job, int64_t group, uint32_t* panels, float* sums) {
  constexpr int64_t stride = kTallPanels * kPanel;
  const int64_t column = group * stride, columns = smaller(stride, job.n - column);
  const int64_t per_word_a = job.compute == Compute::wide ? 2 : 1;
  const int64_t per_word = pairs_in_b(job.compute) ? 2 : 1;
  for (int64_t w = 0; w < job.words; w += kTallSteps) {
    const int64_t steps = smaller(kTallSteps, job.words - w);
    const int64_t t0 = w * per_word, length = smaller(steps * per_word, job.t - t0);
    Source q = job.q;
    q.data = static_cast<const char*>(q.data) + (t0 * q.k_stride + column) * dtype_size(q.dtype);
    interleave_panels(panels, q, columns, length, pairs_in_b(job.compute), 0, panel_count(columns));
    for (int64_t p = 0; p < panel_count(columns); ++p) {
      const int vectors = columns - p * kPanel <= kLanes ? 1 : 2;
      for (int64_t i = 0; i < job.r; i += job.height) {
        const int rows = static_cast<int>(smaller(job.height, job.r - i));
        float* out = sums + i * stride + p * kPanel;
        const uint32_t* a = job.p + (i * job.words + w * rows) * per_word_a;
        tile_kernel(job.compute, rows, vectors)(
            Tile{a, panels + p * kPanel * steps, steps, w ? out : nullptr, stride, out, stride, false, a});
      }
    }
  }
  store_tall(job, sums, column, columns);
}

void tall_chunk(void* context, int64_t begin, int64_t end, int) {
  TallJob& job = *static_cast<TallJob*>(context);
  auto* panels = static_cast<uint32_t*>(scratch(kSlotStaged, kTallPanels * kPanel * kTallSteps * 4));
  auto* sums = static_cast<float*>(scratch(kSlotSums, static_cast<size_t>(job.r) * kTallPanels * kPanel * 4));
  if (!panels || !sums) {
    __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
    return;
  }
  for (int64_t group = begin; group < end; ++group) tall_columns(job, group, panels, sums);
}

}  // namespace

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
  alignas(64) float acc[kTileRows * kPanel];
  const int64_t n = products[0].b->n;
  const bool half = out.dtype == kBF16;
  const bool plain = out.alpha == 1.0f && (out.beta == 0.0f || (out.beta == 1.0f && !out.residual));
  for (int64_t p = first; p < last; ++p) {
    const int64_t column = p * kPanel, columns = smaller(kPanel, n - column);
    const int vectors = columns <= kLanes ? 1 : 2;
    const bool whole = plain && columns == vectors * kLanes;
    const float* bias = out.bias ? out.bias + column : nullptr;
    for (int64_t i = 0; i < rows; i += kTileRows) {
      const int lanes = static_cast<int>(smaller(kTileRows, rows - i));
      const int64_t offset = ((row + i) * out.stride + column) * (half ? 2 : 4);
      void* place = static_cast<char*>(out.data) + offset;
      const void* residual = out.residual ? static_cast<const char*>(out.residual) + offset : nullptr;
      for (int q = 0; q < count; ++q) {
        const Product& product = products[q];
        const int64_t words = product.b->words;
        const uint32_t* panel = product.b->data + p * kPanel * words;
        // While a panel is used tile by tile, the first tiles fetch the next one; with the first panel, rows that
        // lie in memory are fetched one tile ahead.
        const uint32_t* next = product.direct && p == first
                                   ? product.a + (i + kTileRows) * product.a_words
                                   : panel + kPanel * words + i / kTileRows * 16 * words;
        const int64_t stride = product.direct ? product.a_words : 0;
        Tile tile{product.a + i * product.a_words, panel, words, q ? acc : nullptr, kPanel, acc, kPanel, false, next, stride};
        if (q == 0 && whole) {
          tile.bias = bias;
          tile.init = out.beta != 0.0f ? place : residual;
          tile.init_stride = out.stride;
          tile.init_half = half;
        }
        if (q == count - 1 && whole) {
          tile.out = place;
          tile.out_stride = out.stride;
          tile.half = half;
        }
        tile_kernel(product.compute, lanes, vectors, product.direct)(tile);
      }
      if (whole) continue;
      if (half)
        finish_rows(acc, lanes, columns, static_cast<bf16*>(place), out, bias, static_cast<const bf16*>(residual));
      else
        finish_rows(acc, lanes, columns, static_cast<float*>(place), out, bias, static_cast<const float*>(residual));
    }
  }
}

int64_t block_rows(Compute c, int64_t m, int64_t k, int64_t wanted_blocks) {
  const int64_t fitting = kBlockBytes / (kTileRows * 4 * larger(words_a(c, k), 1));
  const int64_t balanced = ceil_div(m, kTileRows * wanted_blocks);
  // An even number of rows keeps bf16 pairs along rows inside one block.
  return kTileRows * larger(1, smaller(smaller(fitting, balanced), 12));
}

Status multiply(Compute c, const Source& a, int64_t m, int64_t k, const Panels& b, const Output& out) {
  if (m <= 0 || b.n <= 0) return Status::ok;
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

Status multiply_tall(Compute c, const float* p, int64_t p_stride, int64_t r, const void* q, int dtype_q, int64_t n,
                     int64_t t, float* out, bool transposed) {
  if (r <= 0 || n <= 0) return Status::ok;
  const int64_t words = words_a(c, t);
  auto* staged = static_cast<uint32_t*>(scratch(kSlotShared, staged_bytes(r, words)));
  if (!staged) return fail(Status::out_of_memory, "no scratch memory for a matrix product");
  TallJob job{c, staged, r, ceil_div(r, ceil_div(r, kTileRows)), t, words_b(c, t), Source{q, dtype_q, 1, n},
              n, out, transposed, false};
  interleave_rows(staged, Source{p, kF32, 1, p_stride}, 0, r, job.height, t, c);
  parallel_for(ceil_div(n, kTallPanels * kPanel), 1, tall_chunk, &job);
  return job.failed ? fail(Status::out_of_memory, "no scratch memory for a matrix product") : Status::ok;
}

}  // namespace unimoer::UNIMOER_ISA_NS
