// Frozen weights in 8 or 4 bits: w[n, k] = q[n, k] * scale.
//   int8: q in -127..127, one f32 scale per output, max |w| / 127.
//   int4: q one of 16 values (codebook.h), one bf16 scale of either sign per output and `group` neighbours along k,
//   chosen for the least squared error (fit.h).
// One copy serves both directions. Columns are outputs, laid out in the panels of core.h; a word holds
// the next 4 (int8) or 8 (int4) elements of one column along k. Absent columns are zero; int4 has no zero, but
// absent elements meet activations that are.
// In memory: int8: float scale[padded n], int32 sum[padded n], words; int4: per panel bf16
// scale[groups][width], all panels, then words.
#pragma once
#include "cpu/gemm/core/core.h"
#include "cpu/simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {

constexpr int64_t kGroupUnit = 16;        // groups are multiples of the widest vector
constexpr int64_t kMaxIntDepth = 131072;  // inputs to a scale: 127 * 127 * depth stays within int32

struct Quantized {
  int bits;
  int64_t group, n, k;
  char* data;

  UM_INLINE int64_t per_word() const { return 32 / bits; }
  UM_INLINE int64_t words() const { return ceil_div(k, per_word()); }
  UM_INLINE int64_t groups() const { return bits == 8 ? 1 : ceil_div(k, group); }
  UM_INLINE int64_t header_bytes() const {
    return ceil_div(padded_columns(n) * (bits == 8 ? 8 : 2 * groups()), 64) * 64;
  }
  UM_INLINE int64_t bytes() const { return header_bytes() + padded_columns(n) * words() * 4; }
  UM_INLINE uint32_t* panel(int64_t p) const {
    return reinterpret_cast<uint32_t*>(data + header_bytes()) + p * kPanel * words();
  }
  UM_INLINE int64_t width(int64_t p) const { return n - p * kPanel <= kLanes ? kLanes : kPanel; }
  // int8, indexed by column.
  UM_INLINE float* scales() const { return reinterpret_cast<float*>(data); }
  UM_INLINE int32_t* sums() const { return reinterpret_cast<int32_t*>(data + padded_columns(n) * 4); }
  // int4, [groups][width].
  UM_INLINE bf16* group_scales(int64_t p) const { return reinterpret_cast<bf16*>(data) + p * kPanel * groups(); }
};

// False for other bits, groups and sizes than the above.
bool quantizable(int bits, int64_t group, int64_t n, int64_t k);

// ---- storage (store.cpp)

// Quantises w [n, k]. False if a value is NaN or infinite.
bool quantize(const Quantized& q, const void* w, int dtype);
// The weight as products see it, row-major [n, k].
void dequantize(const Quantized& q, void* w, int dtype);

// ---- panels of the dequantised weight (expand.cpp)

// What the tile kernel reads, interleaved: bf16 pairs, floats, or for Compute::wide floats rounded to bf16, which need
// no widening. Panels [first, last) of the columns of W (forward: lanes are outputs, depth k).
void expand_forward(const Quantized& q, Compute form, int64_t first, int64_t last, uint32_t* out);
// The same of the columns of WT (reverse: lanes are inputs, depth n); first is even.
void expand_reverse(const Quantized& q, Compute form, int64_t first, int64_t last, uint32_t* out);
// Words per lane of either, for a depth of k.
UM_INLINE int64_t expanded_words(Compute form, int64_t k) { return form == Compute::pairs ? (k + 1) / 2 : k; }

// ---- integer products (stage.cpp, int8.cpp, int4.cpp)

constexpr int64_t kGroupRows = kTileRows / 2;  // of an int4 tile, which holds two sums for each result

// Rows of activations as integers, interleaved in tiles of `height` rows.
struct IntRows {
  int64_t count, height;
  uint32_t* words;  // staged_int_words() a row
  float* scale;     // of each row
  int32_t* starts;  // int4: q.groups() a row, [groups][rows] in every tile
};

// Words per lane of quantised activations.
int64_t staged_int_words(const Quantized& q);
// Stages the first rows of x. `bytes` is scratch of int_row_bytes().
void stage_int_rows(const Quantized& q, const Source& x, const IntRows& rows, void* bytes);
size_t int_row_bytes(const Quantized& q, int64_t rows);
// Whether products of many rows take int8 weights as pairs of int16: without VNNI, where every tile would split them.
#if defined(__AVX512VNNI__)
constexpr bool kSplitsBytes = false;
#else
constexpr bool kSplitsBytes = true;
#endif
// Staged rows against panel p, into the output's rows from `row` on. `split` is null or from split_bytes().
void multiply_bytes(const Quantized& q, int64_t p, const uint32_t* split, const IntRows& rows, int64_t row,
                    const Output& out);
// Panel p as pairs, 2 q.words() words a column.
void split_bytes(const Quantized& q, int64_t p, uint32_t* out);
// The same for int4. `ready` is null, so that every tile looks the codes up, or from look_up_codes().
void multiply_nibbles(const Quantized& q, int64_t p, const uint32_t* ready, const IntRows& rows, int64_t row,
                      const Output& out);
// The codes of panel p as bytes or pairs, kCodeWords q.words() words a column.
constexpr int64_t kCodeWords = kSplitsBytes ? 4 : 2;
void look_up_codes(const Quantized& q, int64_t p, uint32_t* out);

// ---- few rows (few.cpp)

constexpr int64_t kFewRows = 4;
// Panels [first, last) of a forward product with staged rows, dequantised in registers: the same bits as
// expand_forward() and multiply_block().
void multiply_few(const Quantized& q, Compute form, const uint32_t* staged, int64_t rows, int64_t first, int64_t last,
                  const Output& out);

// ---- driver (multiply.cpp)

constexpr int kMaxWeights = 3;
constexpr int kNoActivation = -1;

// Products of the same rows, staged once, with `count` weights of one form.
struct QuantizedProducts {
  bool integer;      // activations in 8 bits
  bool reverse;      // x [m, n] times w instead of x [m, k] times wT
  int activation;    // of x (activate.h), or none
  Source x;
  const void* gate;  // laid out like x
  int64_t m;
  int count;
  Quantized w[kMaxWeights];
  Output out[kMaxWeights];  // alpha 1, beta 0

  int64_t depth() const { return reverse ? w[0].n : w[0].k; }
  int64_t lanes(int i) const { return reverse ? w[i].k : w[i].n; }
};
Status multiply_quantized(const QuantizedProducts& products);

}  // namespace unimoer::UNIMOER_ISA_NS
