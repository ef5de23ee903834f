// Attention's gradient for one tile of queries of one head against all keys of its sequence.
#pragma once
#include "attention_slopes.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int64_t kTile = 128;  // queries and keys of a tile

template <class T>
struct Buffers {
  const T *grad, *q, *k, *v, *o;
  const float* lse;
  T *dq, *dk, *dv;
};

template <class T>
struct Workspace {
  uint32_t *query_t, *grad_t;  // strips [words(dim)][kStrip]: for the scores and for do vᵀ
  uint32_t *query_r, *grad_r;  // [words(kTile)][columns]: for dk and dv
  uint32_t* key_r;             // [words(length)][columns]: for dq
  uint32_t *key, *value;       // [length][words(dim)], only when memory does not hold words
  uint32_t *weights, *slopes;  // [kStep][words(kTile)]
  uint32_t* across;            // [words(kTile)][kTile]; its rows are the slopes in f32
  float *dq, *dk, *dv;         // [kTile][columns], [summed][columns] twice
  float *base, *dot;           // [kTile]: -lse in units of log2, do · o
  // For sequences of up to `length`, with sums for `summed` keys.
  Workspace(Arena& a, int64_t dim, int64_t columns, int64_t length, int64_t summed) {
    const int64_t width = round_up(words<T>(dim), kWidth);
    query_t = a.take<uint32_t>(width * kTile);
    grad_t = a.take<uint32_t>(width * kTile);
    query_r = a.take<uint32_t>(words<T>(kTile) * columns);
    grad_r = a.take<uint32_t>(words<T>(kTile) * columns);
    weights = a.take<uint32_t>(kStep * words<T>(kTile));
    slopes = a.take<uint32_t>(Word<T>::per == 2 ? kStep * words<T>(kTile) : 0);
    across = a.take<uint32_t>(words<T>(kTile) * kTile);
    dq = a.take<float>(kTile * columns);
    base = a.take<float>(kTile);
    dot = a.take<float>(kTile);
    key_r = a.take<uint32_t>(words<T>(length) * columns);
    dk = a.take<float>(summed * columns);
    dv = a.take<float>(summed * columns);
    const bool copies = !Word<T>::direct || dim % Word<T>::per != 0;
    key = a.take<uint32_t>(copies ? length * words<T>(dim) : 0);
    value = a.take<uint32_t>(copies ? length * words<T>(dim) : 0);
  }
};

// A key/value head of a sequence, and how far its dk and dv are.
template <class T>
struct Span {
  const Problem& p;
  const Buffers<T>& b;
  Workspace<T> w;
  int64_t first, length, kv_head, columns;
  RowWords key, value;
  int64_t reached;  // keys that have sums in dk and dv
  bool once;        // a single tile: the sums of a step of keys are complete at once
};

// A tile of queries of one head.
struct QueryTile {
  int64_t head, first, count, padded;
  bool last;  // the sums of dk and dv are complete after it
};

// The rows that the task reads after this tile.
struct Upcoming {
  int64_t query, queries, key, keys;  // offsets in elements, rows
};

// What to ask for amid the products of a tile of queries: the rows that it writes, then those that the
// task reads after it. A few at a time, so that the requests do not crowd out the loads of the products.
template <class T>
struct Requests {
  Ahead list[8];
  int count = 0, at = 0;
  int64_t rows = 0;  // of a turn
  void add(const T* x, int64_t stride, int64_t n, int64_t dim) {
    constexpr int64_t kSize = sizeof(T);
    if (n > 0) list[count++] = Ahead{x, stride * kSize, n, dim * kSize, 0};
  }
  void add_inputs(const Problem& p, const Buffers<T>& b, const Upcoming& next) {
    add(b.q + next.query, p.q_stride(), next.queries, p.dim);
    add(b.grad + next.query, p.q_stride(), next.queries, p.dim);
    add(b.k + next.key, p.kv_stride(), next.keys, p.dim);
    add(b.v + next.key, p.kv_stride(), next.keys, p.dim);
    add(b.o + next.query, p.q_stride(), next.queries, p.dim);
  }
  void add_outputs(const Span<T>& s, const QueryTile& tile) {
    const Problem& p = s.p;
    const int64_t dk = s.first * p.kv_stride() + s.kv_head * p.dim;
    if (tile.last) {
      add(s.b.dv + dk, p.kv_stride(), s.length, p.dim);
      add(s.b.dk + dk, p.kv_stride(), s.length, p.dim);
    }
    add(s.b.dq + (s.first + tile.first) * p.q_stride() + tile.head * p.dim, p.q_stride(), tile.count, p.dim);
  }
  // Divides them among that many turns.
  void spread(int64_t turns) {
    int64_t all = 0;
    for (int i = 0; i < count; ++i) all += list[i].left;
    rows = all / turns + 1;
  }
  UM_INLINE void ask() {
    if (at == count) return;
    list[at].ask(rows);
    at += list[at].left == 0;
  }
};

// A row of C = A B over the queries from `skip` words on, added to the sums of `rows` keys.
template <class T>
UM_INLINE void add_keys(const Span<T>& s, const uint32_t* a, const uint32_t* b, float* c, int64_t rows,
                        int64_t skip, int64_t depth, bool fresh) {
  constexpr int64_t kRow = kTile / Word<T>::per;
  const Tile t{a + skip, kRow, b + skip * s.columns, s.columns, c, s.columns, depth - skip, nullptr};
  if (fresh) {
    multiply<T, false, Into::overwrite>(t, rows, s.columns / kWidth);
  } else {
    multiply<T, false, Into::add>(t, rows, s.columns / kWidth);
  }
}

// The keys from `j` on, up to kStep of them, which the queries of the tile from column q on see.
template <class T>
void run_keys(const Span<T>& s, const QueryTile& tile, int64_t j, int64_t rows, int64_t ahead,
              uint32_t* across, Requests<T>& requests) {
  constexpr int64_t per = Word<T>::per, kRow = kTile / per;
  const Problem& p = s.p;
  const Workspace<T>& w = s.w;
  const int64_t width = round_up(words<T>(p.dim), kWidth);
  const int64_t begin = ahead < 0 ? -ahead / kStep * kStep : 0;
  uint32_t* slopes_at = per == 2 ? w.slopes : across;
  const auto each = [&]() UM_BODY { requests.ask(); };
  for (int64_t q = begin; q < tile.padded;) {
    const bool pair = q % kStrip == 0 && q + kStrip <= tile.padded;
    const int64_t strip = q / kStrip * kStrip * width + q % kStrip;
    const SlopeTile t{s.key.at + j * s.key.ld, s.value.at + j * s.value.ld, s.key.ld,
                      w.query_t + strip, w.grad_t + strip, words<T>(p.dim), w.base + q, w.dot + q,
                      p.log2_scale(), -ahead - q, w.weights + q / per, slopes_at + q / per, kRow, kRow,
                      across + q, kTile};
    if (pair) {
      slopes<T, 2>(t, rows, each);
    } else {
      slopes<T, 1>(t, rows, each);
    }
    q += pair ? kStrip : kWidth;
  }
  const int64_t at = s.once ? 0 : j * s.columns, depth = words<T>(tile.count);
  const bool fresh = j >= s.reached;
  add_keys(s, w.weights, w.grad_r, w.dv + at, rows, begin / per, depth, fresh);
  add_keys(s, slopes_at, w.query_r, w.dk + at, rows, begin / per, depth, fresh);
  if (!tile.last) return;
  const int64_t ld = p.kv_stride(), to = (s.first + j) * ld + s.kv_head * p.dim;
  write_rows(w.dv + at, s.columns, 1.0f, s.b.dv + to, ld, rows, p.dim);
  write_rows(w.dk + at, s.columns, p.scale, s.b.dk + to, ld, rows, p.dim);
}

template <class T>
void pack_queries(const Span<T>& s, const QueryTile& tile) {
  const Problem& p = s.p;
  const Workspace<T>& w = s.w;
  const int64_t dim = p.dim, ld = p.q_stride(), row = s.first + tile.first;
  const int64_t at = row * ld + tile.head * dim, width = round_up(words<T>(dim), kWidth);
  pack_strips(s.b.q + at, ld, tile.count, dim, w.query_t, width);
  pack_strips(s.b.grad + at, ld, tile.count, dim, w.grad_t, width);
  pack_rows(s.b.q + at, ld, tile.count, dim, w.query_r, s.columns);
  pack_rows(s.b.grad + at, ld, tile.count, dim, w.grad_r, s.columns);
  for (int64_t q = 0; q < tile.padded; ++q) {
    const T* g = s.b.grad + at + q * ld;
    const T* o = s.b.o + at + q * ld;
    const bool real = q < tile.count;
    // Minus infinity gives the columns of padding zero weight.
    w.base[q] = real ? s.b.lse[tile.head * p.tokens + row + q] * -kLog2E : -__builtin_inff();
    w.dot[q] = real ? row_sum(dim, [=](int64_t i, int k) UM_BODY { return get(g + i, k) * get(o + i, k); })
                    : 0.0f;
  }
}

// All keys against one tile of queries.
template <class T>
void run_queries(Span<T>& s, const QueryTile& tile, const Upcoming& next) {
  const Problem& p = s.p;
  const Workspace<T>& w = s.w;
  const int64_t dim = p.dim, columns = s.columns, ld = p.q_stride();
  pack_queries(s, tile);
  const int64_t end = p.causal ? tile.first + tile.count : s.length;
  T* const dq = s.b.dq + (s.first + tile.first) * ld + tile.head * dim;
  Requests<T> requests;
  requests.add_outputs(s, tile);
  requests.add_inputs(p, s.b, next);
  requests.spread((end + 3) / 4 * ((tile.count + kStrip - 1) / kStrip));
  for (int64_t j = 0; j < end; j += kTile) {
    const int64_t keys = end - j < kTile ? end - j : kTile;
    const Reach reach(p.causal, j, keys, tile.first, tile.count);
    for (int64_t r = 0; r < keys; r += kStep) {
      run_keys(s, tile, j + r, keys - r < kStep ? keys - r : kStep, reach.ahead - r,
               w.across + r / Word<T>::per * kTile, requests);
    }
    const bool first = j == 0, last = j + kTile >= end;
    for (int64_t q = 0; q < tile.count; q += kStep) {
      const int64_t rows = tile.count - q < kStep ? tile.count - q : kStep;
      float* const sum = w.dq + (first && last ? 0 : q * columns);
      const Tile t{w.across + q, kTile,   w.key_r + j / Word<T>::per * columns, columns,
                   sum,          columns, words<T>(reach.keys_for(q)),          nullptr};
      if (first) {
        multiply<T, true, Into::overwrite>(t, rows, columns / kWidth);
      } else {
        multiply<T, true, Into::add>(t, rows, columns / kWidth);
      }
      if (last) write_rows(sum, columns, p.scale, dq + q * ld, ld, rows, dim);
    }
  }
  if (end > s.reached) s.reached = end;
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
