// Products with a quantised weight: a part of the rows is interleaved by all threads, then every task
// takes panels of the weight, brings them into the first caches once and multiplies all those rows.
#include "cpu/gemm/core/slices.h"
#include "cpu/gemm/quant/quant.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kSlotBytes = 4, kSlotRows = 5, kSlotPanel = 6;
constexpr int64_t kBlock = 4 * kTileRows;         // rows that one task interleaves
constexpr int64_t kPartRows = 18 * kBlock;        // rows between two passes over the weight
constexpr int64_t kReadyTiles = 2;                // so few tiles bring integer weights into their form themselves
constexpr int64_t kPartBytes = int64_t{8} << 20;  // and bytes

struct Job {
  QuantizedProduct product;
  Compute compute;
  Source x;
  int64_t m, row, rows;    // all rows, and the part
  int64_t depth, lanes;    // of the product: its sums' length and its columns
  int64_t a_words, words;  // per lane of the staged rows and of the panels
  int64_t steps;           // of a tile: words, but for panels that are widened
  size_t block_bytes;
  char* staged;
  // Of the part's rows, if integer (IntRows).
  float* scale;
  int32_t* starts;
  int64_t int_height;
  Output out;
  bool failed;

  uint32_t* block(int64_t b) const { return reinterpret_cast<uint32_t*>(staged + static_cast<size_t>(b) * block_bytes); }
  int64_t rows_of(int64_t b) const { return smaller(kBlock, rows - b * kBlock); }
  int64_t blocks() const { return ceil_div(rows, kBlock); }
  IntRows int_rows(int64_t b) const {
    return {rows_of(b), int_height, block(b), scale + b * kBlock, starts + b * kBlock * product.w.groups()};
  }
};

void stage_range(Job& job, int64_t first, int64_t last) {
  const QuantizedProduct& product = job.product;
  void* bytes = product.integer ? scratch(kSlotBytes, int_row_bytes(product.w, kBlock)) : nullptr;
  if (product.integer && !bytes) {
    __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
    return;
  }
  for (int64_t b = first; b < last; ++b) {
    const int64_t row = job.row + b * kBlock;
    if (product.integer)
      stage_int_rows(product.w, job.x, row, job.int_rows(b), bytes);
    else
      interleave_rows(job.block(b), job.x, row, job.rows_of(b), kTileRows, job.depth, job.compute);
  }
}

template <class T>
void copy_columns(const float* from, int64_t rows, int64_t columns, const float* bias, bool add, T* to,
                  int64_t stride) {
  for (int64_t i = 0; i < rows; ++i, to += stride)
    each_vector(0, columns, [&](int64_t j, int n) UM_BODY {
      Vf v = load(from + i * kPanel + j);
      if (add) v = v + get(to + j, n);
      put(to + j, bias ? v + get(bias + j, n) : v, n);
    });
}

// The rows of block b against one panel that starts at `column`.
void multiply_panel(const Job& job, int64_t b, const uint32_t* panel, int64_t column) {
  alignas(64) float acc[kTileRows * kPanel];
  const Output& out = job.out;
  const int64_t columns = smaller(kPanel, job.lanes - column);
  const int vectors = columns <= kLanes ? 1 : 2;
  const bool half = out.dtype == kBF16, add = out.beta != 0.0f;
  const bool direct = columns == vectors * kLanes;
  const float* bias = out.bias ? out.bias + column : nullptr;
  for (int64_t i = 0; i < job.rows_of(b); i += kTileRows) {
    const int height = static_cast<int>(smaller(kTileRows, job.rows_of(b) - i));
    const int64_t offset = (job.row + b * kBlock + i) * out.stride + column;
    void* place = static_cast<char*>(out.data) + offset * (half ? 2 : 4);
    const uint32_t* a = job.block(b) + i * job.a_words;
    Tile tile{a, panel, job.steps, nullptr, 0, acc, kPanel, false, a + kTileRows * job.a_words};
    if (direct) {
      tile.bias = bias;
      tile.init = add ? place : nullptr;
      tile.init_stride = out.stride;
      tile.init_half = half;
      tile.out = place;
      tile.out_stride = out.stride;
      tile.half = half;
    }
    tile_kernel(job.compute == Compute::wide ? Compute::floats : job.compute, height, vectors)(tile);
    if (direct) continue;
    if (half)
      copy_columns(acc, height, columns, bias, add, static_cast<bf16*>(place), out.stride);
    else
      copy_columns(acc, height, columns, bias, add, static_cast<float*>(place), out.stride);
  }
}

// Integer products of panels [first, last). Few rows bring the weights into the form that is multiplied in registers.
void int_panels(Job& job, int64_t first, int64_t last) {
  const Quantized& w = job.product.w;
  uint32_t* ready = nullptr;
  if ((w.bits == 4 || kSplitsBytes) && job.rows > kReadyTiles * job.int_height) {
    const int64_t words = (w.bits == 8 ? 2 : kCodeWords) * w.words();
    ready = static_cast<uint32_t*>(scratch(kSlotPanel, static_cast<size_t>(words * kPanel) * 4));
    if (!ready) {
      __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
      return;
    }
  }
  for (int64_t p = first; p < last; ++p) {
    if (ready) w.bits == 8 ? split_bytes(w, p, ready) : look_up_codes(w, p, ready);
    for (int64_t b = 0; b < job.blocks(); ++b) {
      if (w.bits == 8)
        multiply_bytes(w, p, ready, job.int_rows(b), job.row + b * kBlock, job.out);
      else
        multiply_nibbles(w, p, ready, job.int_rows(b), job.row + b * kBlock, job.out);
    }
  }
}

// Panels [first, last), the first of them even in a reverse product.
void panel_range(Job& job, int64_t first, int64_t last) {
  const QuantizedProduct& product = job.product;
  if (product.integer) return int_panels(job, first, last);
  if (!product.reverse && job.out.beta == 0.0f && job.rows == job.m && takes_few(job.compute, job.rows))
    return multiply_few(product.w, job.compute, job.block(0), job.rows, first, last, job.out);
  const int64_t step = product.reverse ? 2 : 1, panel_words = kPanel * job.words;
  const bool wide = job.compute == Compute::wide;
  const int64_t widened_words = wide ? kPanel * job.steps : 0;
  auto* panels = static_cast<uint32_t*>(scratch(kSlotPanel, static_cast<size_t>(step * panel_words + widened_words) * 4));
  if (!panels) {
    __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
    return;
  }
  const bool pairs = pairs_in_b(job.compute);
  for (int64_t p = first; p < last; p += step) {
    const int64_t end = smaller(p + step, last);
    if (product.reverse)
      expand_reverse(product.w, pairs, p, end, panels);
    else
      expand_forward(product.w, pairs, p, end, panels);
    for (int64_t i = p; i < end; ++i) {
      const uint32_t* panel = panels + (i - p) * panel_words;
      if (wide) {
        auto* widened = reinterpret_cast<float*>(panels + step * panel_words);
        widen(panel, job.words, job.lanes - i * kPanel <= kLanes ? 1 : 2, widened);
        panel = reinterpret_cast<uint32_t*>(widened);
      }
      for (int64_t b = 0; b < job.blocks(); ++b) multiply_panel(job, b, panel, i * kPanel);
    }
  }
}

}  // namespace

Status multiply_quantized(const QuantizedProduct& product, const Source& x, int64_t m, const Output& out) {
  const Quantized& w = product.w;
  const Compute c = x.dtype == kBF16 ? compute_for(kBF16, kBF16) : Compute::floats;
  Job job{};
  job.product = product;
  job.compute = c;
  job.x = x;
  job.m = m;
  job.depth = product.reverse ? w.n : w.k;
  job.lanes = product.reverse ? w.k : w.n;
  job.a_words = product.integer ? staged_int_words(w) : words_a(c, job.depth);
  job.words = words_b(c, job.depth);
  job.steps = c == Compute::wide ? 2 * job.words : job.words;
  job.out = out;
  job.block_bytes = (staged_bytes(kBlock, job.a_words) + 63) / 64 * 64;
  const int64_t fitting = larger(1, kPartBytes / static_cast<int64_t>(job.block_bytes)) * kBlock;
  const int64_t part = smaller(smaller(kPartRows, fitting), ceil_div(m, kBlock) * kBlock);
  const int64_t head_words = product.integer ? part * (1 + (w.bits == 4 ? w.groups() : 0)) : 0;
  const size_t head_bytes = static_cast<size_t>(ceil_div(head_words * 4, 64) * 64);
  auto* memory = static_cast<char*>(
      scratch(kSlotRows, head_bytes + static_cast<size_t>(part / kBlock) * job.block_bytes));
  if (!memory) return no_scratch();
  job.scale = reinterpret_cast<float*>(memory);
  job.starts = reinterpret_cast<int32_t*>(job.scale + part);
  job.staged = memory + head_bytes;
  // As even as they come for a few rows.
  job.int_height = w.bits == 8 ? kTileRows : m <= kBlock ? ceil_div(m, ceil_div(m, kGroupRows)) : kGroupRows;
  const int64_t unit = product.reverse ? 2 : 1, units = ceil_div(panel_count(job.lanes), unit);
  for (job.row = 0; job.row < m && !job.failed; job.row += part) {
    job.rows = smaller(part, m - job.row);
    parallel(job.blocks(), 1, [&](int64_t first, int64_t last) { stage_range(job, first, last); });
    if (job.failed) break;
    const int64_t grain = larger(1, 200000 / (kPanel * job.rows * job.depth));
    parallel(units, grain, [&](int64_t first, int64_t last) {
      panel_range(job, first * unit, smaller(last * unit, panel_count(job.lanes)));
    });
  }
  return job.failed ? no_scratch() : Status::ok;
}

}  // namespace unimoer::UNIMOER_ISA_NS
