// Products with quantised weights: a part of the rows is interleaved by all threads, then every task takes panels of
// a weight, brings them into the first caches once and multiplies all those rows.
#include "cpu/gemm/activate.h"
#include "cpu/gemm/quant/quant.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kSlotBytes = 4, kSlotRows = 5, kSlotPanel = 6, kSlotActive = 7;
constexpr int64_t kBlock = 4 * kTileRows;         // rows that one task interleaves
constexpr int64_t kPartRows = 18 * kBlock;        // rows between two passes over the weights
constexpr int64_t kPartBytes = int64_t{8} << 20;  // and bytes
constexpr int64_t kReadyTiles = 2;                // so few tiles bring integer weights into their form themselves

struct Job {
  const QuantizedProducts& products;
  Compute form, compute;   // of expanded weights (quant.h), and of their products
  int64_t row, rows;       // the part
  int64_t depth;           // length of the sums
  int64_t a_words, words;  // per lane of the staged rows and of the panels
  size_t block_bytes;
  char* staged;
  // Of the part's rows, if integer (IntRows).
  float* scale;
  int32_t* starts;
  int64_t int_height;
  bool failed;

  const Quantized& weight() const { return products.w[0]; }  // any of them, for their common layout
  uint32_t* block(int64_t b) const { return reinterpret_cast<uint32_t*>(staged + static_cast<size_t>(b) * block_bytes); }
  int64_t rows_of(int64_t b) const { return smaller(kBlock, rows - b * kBlock); }
  int64_t blocks() const { return ceil_div(rows, kBlock); }
  IntRows int_rows(int64_t b) const {
    return {rows_of(b), int_height, block(b), scale + b * kBlock, starts + b * kBlock * weight().groups()};
  }
};

void give_up(Job& job) { __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED); }

template <class T>
void activate_rows(const QuantizedProducts& products, int64_t row, int64_t rows, int64_t depth, void* out) {
  const int64_t stride = products.x.lane_stride;
  const auto *u = static_cast<const T*>(products.x.data), *g = static_cast<const T*>(products.gate);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = (row + i) * stride;
    activate(products.activation, u + at, g ? g + at : u, depth, static_cast<T*>(out) + i * depth);
  }
}

// Rows [row, row + rows) of what the weights multiply; `active` has room for them if they are activated.
Source rows_from(const QuantizedProducts& products, int64_t row, int64_t rows, int64_t depth, void* active) {
  const Source& x = products.x;
  if (products.activation == kNoActivation) {
    const char* data = static_cast<const char*>(x.data) + row * x.lane_stride * dtype_size(x.dtype);
    return Source{data, x.dtype, x.lane_stride, 1};
  }
  by_dtype(x.dtype, [&](auto tag) {
    activate_rows<decltype(tag)>(products, row, rows, depth, active);
    return Status::ok;
  });
  return Source{active, x.dtype, depth, 1};
}

void stage_range(Job& job, int64_t first, int64_t last) {
  const QuantizedProducts& products = job.products;
  const bool integer = products.integer, activated = products.activation != kNoActivation;
  void* bytes = integer ? scratch(kSlotBytes, int_row_bytes(job.weight(), kBlock)) : nullptr;
  void* active =
      activated ? scratch(kSlotActive, static_cast<size_t>(kBlock * job.depth * dtype_size(products.x.dtype))) : nullptr;
  if ((integer && !bytes) || (activated && !active)) return give_up(job);
  for (int64_t b = first; b < last; ++b) {
    const Source x = rows_from(products, job.row + b * kBlock, job.rows_of(b), job.depth, active);
    if (integer)
      stage_int_rows(job.weight(), x, job.int_rows(b), bytes);
    else
      interleave_rows(job.block(b), x, 0, job.rows_of(b), kTileRows, job.depth, job.compute);
  }
}

// The rows of block b against one panel that starts at `column`.
void multiply_panel(const Job& job, const Output& out, int64_t columns, int64_t b, const uint32_t* panel, int64_t column) {
  alignas(64) float acc[kTileRows * kPanel];
  const int vectors = columns <= kLanes ? 1 : 2;
  const bool half = out.dtype == kBF16, direct = columns == vectors * kLanes;
  for (int64_t i = 0; i < job.rows_of(b); i += kTileRows) {
    const int height = static_cast<int>(smaller(kTileRows, job.rows_of(b) - i));
    const int64_t row = job.row + b * kBlock + i, offset = (row * out.stride + column) * (half ? 2 : 4);
    const uint32_t* a = job.block(b) + i * job.a_words;
    Tile tile{a, panel, job.words, nullptr, 0, acc, kPanel, false, a + kTileRows * job.a_words};
    if (direct) {
      tile.bias = out.bias ? out.bias + column : nullptr;
      tile.init = out.residual ? static_cast<const char*>(out.residual) + offset : nullptr;
      tile.init_stride = out.stride;
      tile.init_half = half;
      tile.out = static_cast<char*>(out.data) + offset;
      tile.out_stride = out.stride;
      tile.half = half;
    }
    tile_kernel(job.compute, height, vectors)(tile);
    if (!direct) finish_block(acc, kPanel, row, height, column, columns, out);
  }
}

// Integer products of panels [first, last). Few rows bring the weights into the form that is multiplied in registers.
void int_panels(Job& job, const Quantized& w, const Output& out, int64_t first, int64_t last) {
  uint32_t* ready = nullptr;
  if ((w.bits == 4 || kSplitsBytes) && job.rows > kReadyTiles * job.int_height) {
    const int64_t words = (w.bits == 8 ? 2 : kCodeWords) * w.words();
    ready = static_cast<uint32_t*>(scratch(kSlotPanel, static_cast<size_t>(words * kPanel) * 4));
    if (!ready) return give_up(job);
  }
  for (int64_t p = first; p < last; ++p) {
    if (ready) w.bits == 8 ? split_bytes(w, p, ready) : look_up_codes(w, p, ready);
    for (int64_t b = 0; b < job.blocks(); ++b) {
      if (w.bits == 8)
        multiply_bytes(w, p, ready, job.int_rows(b), job.row + b * kBlock, out);
      else
        multiply_nibbles(w, p, ready, job.int_rows(b), job.row + b * kBlock, out);
    }
  }
}

// Panels [first, last) of weight i, the first of them even in a reverse product.
void panel_range(Job& job, int i, int64_t first, int64_t last) {
  const QuantizedProducts& products = job.products;
  const Quantized& w = products.w[i];
  const Output& out = products.out[i];
  if (products.integer) return int_panels(job, w, out, first, last);
  if (!products.reverse && products.m <= kFewRows)
    return multiply_few(w, job.form, job.block(0), job.rows, first, last, out);
  const int64_t step = products.reverse ? 2 : 1, panel_words = kPanel * job.words, lanes = products.lanes(i);
  auto* panels = static_cast<uint32_t*>(scratch(kSlotPanel, static_cast<size_t>(step * panel_words) * 4));
  if (!panels) return give_up(job);
  for (int64_t p = first; p < last; p += step) {
    const int64_t end = smaller(p + step, last);
    if (products.reverse)
      expand_reverse(w, job.form, p, end, panels);
    else
      expand_forward(w, job.form, p, end, panels);
    for (int64_t j = p; j < end; ++j) {
      const uint32_t* panel = panels + (j - p) * panel_words;
      const int64_t columns = smaller(kPanel, lanes - j * kPanel);
      for (int64_t b = 0; b < job.blocks(); ++b) multiply_panel(job, out, columns, b, panel, j * kPanel);
    }
  }
}

// Units [first, last) of panels, counted through all weights.
void unit_range(Job& job, int64_t first, int64_t last) {
  const int64_t unit = job.products.reverse ? 2 : 1;
  for (int i = 0; i < job.products.count; ++i) {
    const int64_t panels = panel_count(job.products.lanes(i)), units = ceil_div(panels, unit);
    const int64_t from = larger(first, 0), to = smaller(last, units);
    if (from < to) panel_range(job, i, from * unit, smaller(to * unit, panels));
    first -= units, last -= units;
  }
}

}  // namespace

Status multiply_quantized(const QuantizedProducts& products) {
  const Quantized& w = products.w[0];
  const int64_t m = products.m, depth = products.depth();
  const Compute form = products.x.dtype == kBF16 ? compute_for(kBF16, kBF16) : Compute::floats;
  const Compute compute = form == Compute::wide ? Compute::floats : form;
  const int64_t words = expanded_words(form, depth);
  Job job{products, form, compute, 0, 0, depth, products.integer ? staged_int_words(w) : words, words, 0, nullptr, nullptr,
          nullptr, 0, false};
  job.block_bytes = (staged_bytes(kBlock, job.a_words) + 63) / 64 * 64;
  const int64_t fitting = larger(1, kPartBytes / static_cast<int64_t>(job.block_bytes)) * kBlock;
  const int64_t part = smaller(smaller(kPartRows, fitting), ceil_div(m, kBlock) * kBlock);
  const int64_t head_words = products.integer ? part * (1 + (w.bits == 4 ? w.groups() : 0)) : 0;
  const size_t head_bytes = static_cast<size_t>(ceil_div(head_words * 4, 64) * 64);
  auto* memory = static_cast<char*>(
      scratch(kSlotRows, head_bytes + static_cast<size_t>(part / kBlock) * job.block_bytes));
  if (!memory) return no_scratch();
  job.scale = reinterpret_cast<float*>(memory);
  job.starts = reinterpret_cast<int32_t*>(job.scale + part);
  job.staged = memory + head_bytes;
  // As even as they come for a few rows.
  job.int_height = w.bits == 8 ? kTileRows : m <= kBlock ? ceil_div(m, ceil_div(m, kGroupRows)) : kGroupRows;
  int64_t units = 0;
  for (int i = 0; i < products.count; ++i) units += ceil_div(panel_count(products.lanes(i)), products.reverse ? 2 : 1);
  for (job.row = 0; job.row < m && !job.failed; job.row += part) {
    job.rows = smaller(part, m - job.row);
    parallel(job.blocks(), 1, [&](int64_t first, int64_t last) { stage_range(job, first, last); });
    if (job.failed) break;
    const int64_t grain = larger(1, 200000 / (kPanel * job.rows * depth));
    parallel(units, grain, [&](int64_t first, int64_t last) { unit_range(job, first, last); });
  }
  return job.failed ? no_scratch() : Status::ok;
}

}  // namespace unimoer::UNIMOER_ISA_NS
