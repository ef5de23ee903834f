// What attention and its gradient share: the packed-sequence problem, and the packing of rows of
// q, k, v and do into the operands of tile_mm.h.
#pragma once
#include "kernel_util.h"
#include "prefetch.h"
#include "tile_mm.h"
#include "transpose.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kStrip = 2 * kWidth;  // queries packed side by side
constexpr int kMaxHeadDim = 256;
constexpr int kWhole = 16;  // words of depth that the inner loops unroll
constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

struct Problem {
  const int32_t* cu;
  int64_t tokens, seqs, heads, kv_heads, dim;
  bool causal;
  float scale;
  int64_t q_stride() const { return heads * dim; }
  int64_t kv_stride() const { return kv_heads * dim; }
  // Of a score, in units of log2; above zero, which would make a hidden score not a number.
  float log2_scale() const { return scale > 1e-37f ? scale * kLog2E : 1e-37f; }
};

UM_INLINE int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
template <class T>
UM_INLINE int64_t words(int64_t n) {
  return (n + Word<T>::per - 1) / Word<T>::per;
}

// Reads the eight arguments and the sequence offsets in buffer `cu`.
Status read_problem(const KernelArgs& a, int cu, Problem* p) {
  *p = Problem{a.ptr<int32_t>(cu), a.i(1), a.i(2), a.i(3), a.i(4), a.i(5), a.i(6) != 0, a.f(7)};
  if (p->dim < 1 || p->dim > kMaxHeadDim) {
    return fail(Status::unsupported, "attention supports head dimensions up to 256");
  }
  if (p->kv_heads < 1 || p->heads < 1 || p->heads % p->kv_heads != 0) {
    return fail(Status::bad_argument, "attention heads must be a multiple of the key/value heads");
  }
  if (!(p->scale >= 0.0f)) return fail(Status::bad_argument, "attention scale must not be negative");
  if (p->seqs < 0 || p->tokens < 0 || !holds(a, cu, p->seqs + 1, 1, 4)) return too_small();
  bool valid = p->cu[0] == 0 && p->cu[p->seqs] == p->tokens;
  for (int64_t s = 0; s < p->seqs; ++s) valid = valid && p->cu[s + 1] >= p->cu[s];
  if (valid) return Status::ok;
  return fail(Status::bad_argument, "sequence offsets must rise from 0 to the number of tokens");
}

// Rows as words [rows][words(dim)], straight from memory when it already has that form.
struct RowWords {
  const uint32_t* at;
  int64_t ld;
};
template <class T>
RowWords row_words(const T* x, int64_t ld, int64_t rows, int64_t dim, uint32_t* buffer) {
  constexpr int per = Word<T>::per;
  if (Word<T>::direct && dim % per == 0 && ld % per == 0) {
    return {reinterpret_cast<const uint32_t*>(x), ld / per};
  }
  const int64_t width = words<T>(dim);
  for (int64_t r = 0; r < rows; ++r) {
    using W = typename Word<T>::type;
    W* to = reinterpret_cast<W*>(buffer + r * width);
    if (per == 2) to[width * per - 1] = from_float<W>(0.0f);
    each_vector(0, dim, [=](int64_t i, int k) UM_BODY { put(to + i, get(x + r * ld + i, k), k); });
  }
  return {buffer, width};
}

// A pointer to each of MR of them. The barriers keep the compiler from replacing the pointers by
// offsets, one for each row and word.
template <int MR>
struct RowPointers {
  const AnyWord* at[MR];
  UM_INLINE RowPointers(const uint32_t* first, int64_t ld) {
    for (int m = 0; m < MR; ++m) at[m] = first + m * ld;
    hold();
  }
  UM_INLINE uint32_t word(int m, int k) const { return at[m][k]; }
  UM_INLINE void advance(int k) {
    for (const AnyWord*& p : at) p += k;
    hold();
  }
  UM_INLINE void hold() {
    for (const AnyWord*& p : at) __asm__("" : "+r"(p));
  }
};

// out[word][row] for `rows` rows, columns up to `columns` zero: the B of a product over dim.
// Writes round_up(words(dim), kWidth) rows of words.
template <class T>
void pack_transposed(const T* x, int64_t ld, int64_t rows, int64_t dim, uint32_t* out,
                     int64_t ldo, int64_t columns) {
  constexpr int per = Word<T>::per;
  const int64_t width = round_up(words<T>(dim), kWidth);
  const bool direct = Word<T>::direct && dim == width * per && ld % per == 0;
  for (int64_t r = 0; r < columns; r += kWidth) {
    uint32_t block[kWidth * kMaxHeadDim];
    const uint32_t* from = reinterpret_cast<const uint32_t*>(x + r * ld);
    int64_t lds = ld / per;
    if (!direct || r + kWidth > rows) {
      __builtin_memset(block, 0, static_cast<size_t>(kWidth * width) * 4);
      for (int64_t i = r; i < rows && i < r + kWidth; ++i) {
        using W = typename Word<T>::type;
        W* to = reinterpret_cast<W*>(block + (i - r) * width);
        each_vector(0, dim,
                    [=](int64_t d, int k) UM_BODY { put(to + d, get(x + i * ld + d, k), k); });
      }
      from = block;
      lds = width;
    }
    for (int64_t u = 0; u < width; u += kWidth) {
      transpose_words(from + u, lds, out + u * ldo + r, ldo);
    }
  }
}

// The same for any number of rows, cut into strips [words][kStrip] of `depth` words each.
template <class T>
void pack_strips(const T* x, int64_t ld, int64_t rows, int64_t dim, uint32_t* out, int64_t depth) {
  for (int64_t r = 0; r < rows; r += kStrip) {
    const int64_t n = rows - r < kStrip ? rows - r : kStrip;
    pack_transposed(x + r * ld, ld, n, dim, out + r * depth, kStrip, round_up(n, kWidth));
  }
}

// out[words over rows][ldo] with columns up to ldo zero: the B of a product over rows.
template <class T>
void pack_rows(const T* x, int64_t ld, int64_t rows, int64_t dim, uint32_t* out, int64_t ldo) {
  const auto row = [=](int64_t r, int64_t d, int n) UM_BODY {
    return r < rows && n > 0 ? get(x + r * ld + d, n) : vzero();
  };
  for (int64_t r = 0; r < rows; r += Word<T>::per) {
    uint32_t* to = out + r / Word<T>::per * ldo;
    for (int64_t d = 0; d < ldo; d += kWidth) {
      const int n = dim - d >= kWidth ? kWidth : dim > d ? static_cast<int>(dim - d) : 0;
      Vf v = row(r, d, n);
      if constexpr (Word<T>::per == 2) {
        v = (Vf)((Vu)row(r + 1, d, n) | ((Vu)v >> 16));
      }
      store(reinterpret_cast<float*>(to + d), v);
    }
  }
}

// A row of scores or weights as the compute type.
template <class T>
UM_INLINE void put_words(uint32_t* to, int64_t lane, Vf v) {
  store(reinterpret_cast<typename Word<T>::type*>(to) + lane, v);
}

// Which pairs of a tile [key][query] attend: with row and column counted inside the tile, key row
// sees query column when row <= ahead + column. Everything is cut into steps of kStep, so that a
// product skips what lies above the diagonal; `ahead` is a multiple of kStep.
constexpr int64_t kStep = 16;
struct Reach {
  int64_t keys, queries, ahead;
  Reach(bool causal, int64_t first_key, int64_t key_count, int64_t first_query, int64_t query_count)
      : keys(key_count), queries(query_count), ahead(causal ? first_query - first_key : key_count) {}
  // Keys that any query in the step of column q sees.
  int64_t keys_for(int64_t q) const {
    const int64_t n = ahead + q / kStep * kStep + kStep;
    return n < keys ? n : keys;
  }
  // f(row, rows, column): those rows see columns from `column` on.
  template <class F>
  UM_INLINE void by_keys(const F& f) const {
    const int64_t full = keys_for(0);
    f(0, full, 0);
    for (int64_t r = full; r < keys; r += kStep) f(r, keys - r < kStep ? keys - r : kStep, r - ahead);
  }
  // f(column, columns, rows): those columns see that many rows.
  template <class F>
  UM_INLINE void by_queries(const F& f) const {
    int64_t q = 0;
    for (; q < queries && keys_for(q) < keys; q += kStep) {
      f(q, queries - q < kStep ? queries - q : kStep, keys_for(q));
    }
    if (q < queries) f(q, queries - q, keys);
  }
};

// The lanes before `first` at minus infinity.
UM_INLINE Vf hide(Vf score, int64_t first) {
  Vi lane;
  for (int i = 0; i < kWidth; ++i) lane[i] = i;
  return choose((Vi)(lane < static_cast<int32_t>(first)), splat(-__builtin_inff()), score);
}

// How closely a weight is computed: to 8e-5 relative where all that remains of it is rounded to bf16,
// to 3e-6 where such weights are also summed, else to 1e-7.
enum class Weight { rounded, summed, exact };

// 2^x for softmax weights, x <= 0 or a little above, exactly 0 up to -127 and so for hidden keys.
template <Weight Kind>
UM_INLINE Vf weight_exp2(Vf x) {
  x = vmax(splat(-127.0f), x);
  const Vf shift = splat(12582912.0f);  // adding it leaves the rounded x in the low bits
  const Vf whole = x + shift, r = x - (whole - shift);
  Vf p;
  if constexpr (Kind == Weight::rounded) {
    static constexpr float c[] = {1.0f, 6.932829268e-01f, 2.422109654e-01f, 5.500893014e-02f};
    p = horner(r, c);
  } else if constexpr (Kind == Weight::summed) {
    static constexpr float c[] = {1.0f, 6.931241751e-01f, 2.402409911e-01f, 5.590642616e-02f,
                                  9.582852945e-03f};
    p = horner(r, c);
  } else {
    static constexpr float c[] = {1.0f,           6.931470037e-01f, 2.402224243e-01f,
                                  5.550733581e-02f, 9.671512991e-03f, 1.326472731e-03f};
    p = horner(r, c);
  }
  return (Vf)((Vu)p + ((Vu)whole << 23));
}

template <class T>
void write_rows(const float* from, int64_t columns, float scale, T* to, int64_t ld, int64_t rows,
                int64_t dim) {
  const Vf s = splat(scale);
  for (int64_t r = 0; r < rows; ++r) {
    each_vector(0, dim, [=](int64_t i, int k) UM_BODY {
      put(to + r * ld + i, load(from + r * columns + i) * s, k);
    });
  }
}

// Carves 64-byte aligned arrays out of one scratch block; with no base it only measures.
struct Arena {
  char* base;
  size_t used;
  template <class U>
  U* take(int64_t count) {
    U* p = base == nullptr ? nullptr : reinterpret_cast<U*>(base + used);
    used += (static_cast<size_t>(count) * sizeof(U) + 63) & ~size_t{63};
    return p;
  }
};

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
