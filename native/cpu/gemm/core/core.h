// Blocked matrix multiply. Both operands are brought into one form: 32-bit words, interleaved by
// lane. A panel holds, for each step of k, one word per lane; a lane is a row of A or a column of B,
// a word is one float or a pair of bf16 neighbours in k. The tile kernel then reads both operands
// front to back. Nothing here has types of the anonymous namespace in its signature, so that the
// files of one instruction set can link with each other and with no other.
#pragma once
#include "cpu/simd/simd.h"
#include "unimoer/kernel.h"
#include "unimoer/pool.h"

namespace unimoer::UNIMOER_ISA_NS {

#if defined(__AVX512F__)
constexpr int kTileRows = 14;
#elif defined(__AVX2__)
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 4;
#endif
constexpr int kLanes = kWidth;       // columns of the narrow panel
constexpr int kPanel = 2 * kLanes;   // columns of a full panel

// floats: A and B in f32. pairs: bf16 pairs on both sides, by a dot instruction. wide: B in bf16
// pairs, widened a slice at a time (slices.h) or for few rows in registers, A in f32 with k padded to an even number.
enum class Compute { floats, pairs, wide };

// For a B that lies packed in its own dtype.
Compute compute_for(int dtype_a, int dtype_b);
// For a B that is interleaved for this product only, and so may as well be widened then.
Compute compute_unpacked(int dtype_a, int dtype_b);

UM_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
UM_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
UM_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
UM_INLINE int64_t dtype_size(int dtype) { return dtype == kF32 ? 4 : dtype == kBF16 ? 2 : 0; }
UM_INLINE bool pairs_in_b(Compute c) { return c != Compute::floats; }
UM_INLINE bool pairs_in_a(Compute c) { return c == Compute::pairs; }
// Words per lane for k elements.
UM_INLINE int64_t words_b(Compute c, int64_t k) { return pairs_in_b(c) ? (k + 1) / 2 : k; }
UM_INLINE int64_t words_a(Compute c, int64_t k) {
  return c == Compute::pairs ? (k + 1) / 2 : c == Compute::wide ? (k + 1) / 2 * 2 : k;
}

// Element (lane, step) at data + lane * lane_stride + step * k_stride, one of the strides being 1.
struct Source {
  const void* data;
  int dtype;
  int64_t lane_stride, k_stride;
};

// ---- interleaving (interleave.cpp)

// Columns of B in memory: full panels, then one narrow panel if at most kLanes columns are left.
UM_INLINE int64_t padded_columns(int64_t n) {
  const int64_t rest = n % kPanel;
  return n - rest + (rest == 0 ? 0 : rest <= kLanes ? kLanes : kPanel);
}
UM_INLINE int64_t panel_count(int64_t n) { return ceil_div(n, kPanel); }
UM_INLINE size_t panel_bytes(int64_t n, int64_t words) {
  return static_cast<size_t>(padded_columns(n)) * static_cast<size_t>(words) * 4;
}

// Interleaves panels [first, last) of B with n lanes and k steps; panel p starts at
// out + p * kPanel * words_b.
void interleave_panels(uint32_t* out, const Source& b, int64_t n, int64_t k, bool pairs, int64_t first, int64_t last);
// The same on all threads.
void interleave_panels_parallel(uint32_t* out, const Source& b, int64_t n, int64_t k, bool pairs);

// Interleaves `rows` lanes from `row` on as tiles of `height` lanes; tile i starts at
// out + i * height * words. Writes up to kLanes words past the end: allocate staged_words().
void interleave_rows(uint32_t* out, const Source& a, int64_t row, int64_t rows, int64_t height, int64_t k, Compute c);
UM_INLINE size_t staged_bytes(int64_t rows, int64_t words) {
  return (static_cast<size_t>(rows) * static_cast<size_t>(words) + 2 * kLanes) * 4;
}

// ---- tiles (tile.cpp)

struct Tile {
  const uint32_t* a;     // [steps][rows], or rows a_stride words apart
  const uint32_t* b;     // [steps][kPanel or kLanes]
  int64_t steps;         // words of B per lane
  const void* init;      // added to the sums, f32 or bf16 if init_half; null for zero
  int64_t init_stride;   // elements; 0: one row for all
  void* out;             // f32, or bf16 if half
  int64_t out_stride;    // elements
  bool half;
  const uint32_t* next;  // read ahead from here, one cache line per step
  int64_t a_stride = 0;  // words; 0: [steps][rows]
  bool init_half = false;
  const float* bias = nullptr;  // one row, added as well
  const float* start = nullptr;  // [rows][kPanel], of floats only: sums to go on with, in place of the bias
};
using TileFn = void (*)(const Tile&);
// vectors: 1 for a narrow panel, 2 for a full one; 1 <= rows <= kTileRows, or kWideRows if wide; direct: the tile has
// an a_stride.
constexpr int kWideRows = 4;
TileFn tile_kernel(Compute c, int rows, int vectors, bool direct = false);

// ---- driver (driver.cpp)

struct Panels {
  const uint32_t* data;
  int64_t n;      // columns
  int64_t words;  // words per column
};

// c[row, col] = alpha * acc + beta * c + bias[col] + residual[row, col]; summed in f32, rounded once
struct Output {
  void* data;
  int dtype;
  int64_t stride;
  const float* bias;
  float alpha, beta;
  const void* residual = nullptr;  // laid out like c, and may be c
};

// A frozen weight as panels: columns `panels.n`, summed over `depth` steps.
struct Weight {
  Panels* panels;
  int64_t depth;
};

// For products of `rows` rows with `count` weights that lie packed as bf16 pairs: where the pairs would be widened for
// each block of rows anew and there are many, they are widened once, by all threads, into scratch memory of the caller.
// Then c becomes Compute::floats and the panels are replaced; otherwise both stay as they are.
void widen_once(Compute& c, const Weight* weights, int count, int64_t rows);

// One of the products that are summed into an output: staged rows, or rows as they lie in memory, against
// panels.
struct Product {
  Compute compute;
  const uint32_t* a;
  int64_t a_words;  // per row
  const Panels* b;
  bool direct = false;
};

// Whether tiles can read rows of A where they lie: as words, with k to the end of the last of them, and not so
// far apart that all rows fall into the same sets of the first-level cache.
bool can_read_in_place(Compute c, const Source& a, int64_t k);
// Rows [row, row + rows) of A for a product: in place if they can be, else interleaved into `staged`, which has
// room for rows_bytes().
Product rows_of(Compute c, const Source& a, int64_t row, int64_t rows, int64_t k, const Panels* b, uint32_t* staged);
size_t rows_bytes(Compute c, const Source& a, int64_t rows, int64_t k);

// One block of rows: the sum of `count` products of the same shape, panels [first, last).
void multiply_block(const Product* products, int count, int64_t row, int64_t rows, int64_t first, int64_t last,
                    const Output& out);

// Writes up to kPanel columns of finished sums, rows `acc_stride` apart, to rows and columns of the output.
void finish_block(const float* acc, int64_t acc_stride, int64_t row, int64_t rows, int64_t column, int64_t columns, const Output& out);

// Rows per block such that a staged block stays in the second-level cache and there are enough blocks.
int64_t block_rows(Compute c, int64_t m, int64_t k, int64_t wanted_blocks);

// out[m, n] = A B over all threads.
Status multiply(Compute c, const Source& a, int64_t m, int64_t k, const Panels& b, const Output& out);

// ---- long sums (sum_pass.cpp, tall.cpp)

// Even heights of tiles that together hold `rows` lanes.
UM_INLINE int64_t tile_height(int64_t rows) { return ceil_div(rows, ceil_div(rows, kTileRows)); }

// The few rows of a long sum: staged by interleave_rows as tiles of tile_height(rows) with `words` words for each row,
// or, where they are floats side by side, as they lie: then words is 1 and step the floats from one to the next.
struct Lanes {
  const uint32_t* data;
  int64_t words;
  int64_t step = 0;
};

// One pass of a long sum: `rows` lanes by q [steps, columns], whose columns are its lanes; into sums [rows, stride], on
// top of what they hold with add. panels: room for q interleaved.
void sum_pass(Compute c, const Lanes& lanes, int64_t rows, const Source& q, int64_t steps, int64_t columns,
              uint32_t* panels, float* sums, int64_t stride, bool add);

// out[r, n] = sum over t of p[t, r] q[t, n]: few rows, so that q is read in passes. p has the rows as lanes, q the
// columns.
Status multiply_tall(Compute c, const Source& p, int64_t r, const Source& q, int64_t n, int64_t t, const Output& out);
constexpr int64_t kTallRows = 128;  // up to here it beats multiply

}  // namespace unimoer::UNIMOER_ISA_NS
