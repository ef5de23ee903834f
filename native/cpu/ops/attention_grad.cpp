// Gradient of attention over packed sequences (Dao et al., NeurIPS 2022, algorithm 4). One task owns
// a sequence and a key/value head, so dk and dv have one writer and one order of summation.
#include "../simd/attention_tiles.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int64_t kKeys = 64;  // keys per tile

template <class T>
struct Buffers {
  const T *grad, *q, *k, *v, *o;
  const float* lse;
  T *dq, *dk, *dv;
};

template <class T>
struct Workspace {
  uint32_t *query_t, *grad_t;    // [words(dim)][kQueries]: for the scores and for do vᵀ
  uint32_t *query_r, *grad_r;    // [words(kQueries)][columns]: for dk and dv
  uint32_t* key_r;               // [words(length)][columns]: for dq
  uint32_t *key, *value;         // [length][words(dim)], only when memory does not hold words
  uint32_t *weights, *slope;     // [kKeys][words(kQueries)]
  uint32_t* slope_across;        // [words(kKeys)][kQueries]; the same array as slope in f32
  float *score, *dweights;       // [kKeys][kQueries]
  float *dq, *dk, *dv;           // [kQueries][columns], [length][columns] twice
  float *lse, *dot;              // [kQueries]
  Workspace(Arena& a, int64_t dim, int64_t columns, int64_t length) {
    const int64_t width = round_up(words<T>(dim), kWidth);
    query_t = a.take<uint32_t>(width * kQueries);
    grad_t = a.take<uint32_t>(width * kQueries);
    query_r = a.take<uint32_t>(words<T>(kQueries) * columns);
    grad_r = a.take<uint32_t>(words<T>(kQueries) * columns);
    weights = a.take<uint32_t>(kKeys * words<T>(kQueries));
    slope = a.take<uint32_t>(kKeys * words<T>(kQueries));
    slope_across = Word<T>::per == 2 ? a.take<uint32_t>(words<T>(kKeys) * kQueries) : slope;
    score = a.take<float>(kKeys * kQueries);
    dweights = a.take<float>(kKeys * kQueries);
    dq = a.take<float>(kQueries * columns);
    lse = a.take<float>(kQueries);
    dot = a.take<float>(kQueries);
    key_r = a.take<uint32_t>(words<T>(length) * columns);
    dk = a.take<float>(length * columns);
    dv = a.take<float>(length * columns);
    const bool copies = !Word<T>::direct || dim % Word<T>::per != 0;
    key = a.take<uint32_t>(copies ? length * words<T>(dim) : 0);
    value = a.take<uint32_t>(copies ? length * words<T>(dim) : 0);
  }
};

// p = exp(score - lse) and p (dp - dot), for rows r and r + 1 of the tile at columns q.
template <class T>
void weights_and_slopes(const Workspace<T>& w, const Reach& reach, int64_t queries,
                        float log2_scale) {
  constexpr bool kShort = sizeof(T) == 2;
  constexpr int64_t kRow = kQueries / Word<T>::per;
  const Vf c = splat(log2_scale);
  for (int64_t q = 0; q < queries; q += kWidth) {
    const Vf lse = load(w.lse + q), dot = load(w.dot + q);
    const int64_t keys = reach.keys_for(q);
    const auto weight = [&](int64_t r) UM_BODY {
      return vexp2<kShort>(fma(load(w.score + r * kQueries + q), c, vneg(lse)));
    };
    const auto emit = [&](int64_t r, Vf p) UM_BODY {
      const Vf ds = p * (load(w.dweights + r * kQueries + q) - dot);
      put_words<T>(w.weights + r * kRow, q, p);
      put_words<T>(w.slope + r * kRow, q, ds);
      return ds;
    };
    int64_t r = 0;
    for (; r + 2 <= keys; r += 2) {
      const Vf p0 = weight(r), p1 = weight(r + 1);
      const Vf s0 = emit(r, p0), s1 = emit(r + 1, p1);
      if constexpr (Word<T>::per == 2) {
        store_int(reinterpret_cast<int32_t*>(w.slope_across + r / 2 * kQueries + q),
                  pack_pair(s0, s1));
      }
    }
    if (r < keys) {
      const Vf s = emit(r, weight(r));
      if constexpr (Word<T>::per == 2) {
        store_int(reinterpret_cast<int32_t*>(w.slope_across + r / 2 * kQueries + q),
                  pack_pair(s, vzero()));
      }
    }
  }
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

template <class T>
struct Span {
  const Problem& p;
  const Buffers<T>& b;
  const Workspace<T>& w;
  int64_t first, length, columns;
  RowWords key, value;
};

// All keys against one tile of queries of one head.
template <class T>
void run_queries(const Span<T>& s, int64_t head, int64_t first_query) {
  const Problem& p = s.p;
  const Workspace<T>& w = s.w;
  const int64_t dim = p.dim, columns = s.columns, vectors = columns / kWidth;
  const int64_t queries = s.length - first_query < kQueries ? s.length - first_query : kQueries;
  const int64_t padded = round_up(queries, kWidth), row = s.first + first_query;
  const int64_t at = row * p.q_stride() + head * dim, ld = p.q_stride();
  pack_transposed(s.b.q + at, ld, queries, dim, w.query_t, kQueries, padded);
  pack_transposed(s.b.grad + at, ld, queries, dim, w.grad_t, kQueries, padded);
  pack_rows(s.b.q + at, ld, queries, dim, w.query_r, columns);
  pack_rows(s.b.grad + at, ld, queries, dim, w.grad_r, columns);
  for (int64_t q = 0; q < padded; ++q) {
    const T* g = s.b.grad + at + q * ld;
    const T* o = s.b.o + at + q * ld;
    const bool real = q < queries;
    // An infinite lse gives the columns of padding zero weight.
    w.lse[q] = real ? s.b.lse[head * p.tokens + row + q] * kLog2E : __builtin_inff();
    w.dot[q] = real ? row_sum(dim, [=](int64_t i, int k) UM_BODY { return get(g + i, k) * get(o + i, k); })
                    : 0.0f;
  }
  const int64_t end = p.causal ? first_query + queries : s.length;
  for (int64_t j = 0; j < end; j += kKeys) {
    const int64_t keys = end - j < kKeys ? end - j : kKeys;
    const Reach reach(p.causal, j, keys, first_query, queries);
    reach.by_keys([&](int64_t r, int64_t rows, int64_t q) {
      const auto product = [&](const RowWords& a, const uint32_t* b, float* c) {
        multiply<T, false, Into::overwrite>(
            Tile{a.at + (j + r) * a.ld, a.ld, b + q, kQueries, c + r * kQueries + q, kQueries,
                 words<T>(dim), nullptr},
            rows, (padded - q) / kWidth);
      };
      product(s.key, w.query_t, w.score);
      product(s.value, w.grad_t, w.dweights);
    });
    mask_future(w.score, reach);
    weights_and_slopes<T>(w, reach, padded, p.scale * kLog2E);
    reach.by_keys([&](int64_t r, int64_t rows, int64_t q) {
      constexpr int64_t kRow = kQueries / Word<T>::per;
      const int64_t skip = q / Word<T>::per, depth = words<T>(queries) - skip;
      if (depth <= 0) return;
      const auto product = [&](const uint32_t* a, const uint32_t* b, float* c) {
        multiply<T, false, Into::add>(
            Tile{a + r * kRow + skip, kRow, b + skip * columns, columns, c + (j + r) * columns,
                 columns, depth, nullptr},
            rows, vectors);
      };
      product(w.weights, w.grad_r, w.dv);
      product(w.slope, w.query_r, w.dk);
    });
    reach.by_queries([&](int64_t q, int64_t rows, int64_t depth) {
      const Tile dq{w.slope_across + q,  kQueries, w.key_r + j / Word<T>::per * columns,
                    columns,             w.dq + q * columns, columns,
                    words<T>(depth),     nullptr};
      if (j == 0) {
        multiply<T, true, Into::overwrite>(dq, rows, vectors);
      } else {
        multiply<T, true, Into::add>(dq, rows, vectors);
      }
    });
  }
  write_rows(w.dq, columns, p.scale, s.b.dq + at, ld, queries, dim);
}

template <class T>
void run_unit(const Problem& p, const Buffers<T>& b, int64_t unit, const Workspace<T>& w) {
  const int64_t seq = unit / p.kv_heads, kv_head = unit % p.kv_heads;
  const int64_t first = p.cu[seq], length = p.cu[seq + 1] - first;
  if (length == 0) return;
  const int64_t columns = round_up(p.dim, kWidth), ld = p.kv_stride();
  const int64_t at = first * ld + kv_head * p.dim;
  pack_rows(b.k + at, ld, length, p.dim, w.key_r, columns);
  __builtin_memset(w.dk, 0, static_cast<size_t>(length * columns) * 4);
  __builtin_memset(w.dv, 0, static_cast<size_t>(length * columns) * 4);
  const Span<T> span{p, b, w, first, length, columns, row_words(b.k + at, ld, length, p.dim, w.key),
                     row_words(b.v + at, ld, length, p.dim, w.value)};
  const int64_t group = p.heads / p.kv_heads;
  for (int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
    for (int64_t q = 0; q < length; q += kQueries) run_queries(span, h, q);
  }
  write_rows(w.dk, columns, p.scale, b.dk + at, ld, length, p.dim);
  write_rows(w.dv, columns, 1.0f, b.dv + at, ld, length, p.dim);
}

Status attention_grad(const KernelArgs& a) {
  Problem p;
  const Status read = read_problem(a, 6, &p);
  if (read != Status::ok) return read;
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    const int64_t q_stride = bytes_of(p.heads, p.dim, 1), kv_stride = bytes_of(p.kv_heads, p.dim, 1);
    constexpr int kLikeQueries[] = {0, 1, 4, 7}, kLikeKeys[] = {2, 3, 8, 9};
    for (const int i : kLikeQueries) {
      if (!holds(a, i, p.tokens, q_stride, sizeof(T))) return too_small();
    }
    for (const int i : kLikeKeys) {
      if (!holds(a, i, p.tokens, kv_stride, sizeof(T))) return too_small();
    }
    if (!holds(a, 5, p.tokens, p.heads, 4)) return too_small();
    const Buffers<T> b{a.ptr<T>(0), a.ptr<T>(1), a.ptr<T>(2), a.ptr<T>(3), a.ptr<T>(4),
                       a.ptr<float>(5), a.ptr<T>(7), a.ptr<T>(8), a.ptr<T>(9)};
    if (p.tokens == 0) return Status::ok;
    int64_t longest = 0;
    for (int64_t s = 0; s < p.seqs; ++s) {
      if (p.cu[s + 1] - p.cu[s] > longest) longest = p.cu[s + 1] - p.cu[s];
    }
    const int64_t columns = round_up(p.dim, kWidth);
    bool failed = false;
    parallel(p.seqs * p.kv_heads, 1, [&](int64_t begin, int64_t end) {
      Arena measure{nullptr, 0};
      Workspace<T>(measure, p.dim, columns, longest);
      Arena arena{static_cast<char*>(scratch(0, measure.used)), 0};
      if (arena.base == nullptr) {
        __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
        return;
      }
      const Workspace<T> w(arena, p.dim, columns, longest);
      for (int64_t u = begin; u < end; ++u) run_unit<T>(p, b, u, w);
    });
    return failed ? no_scratch() : Status::ok;
  });
}

}  // namespace

void register_attention_grad(KernelTable& t) { t.fn[k_attention_grad] = attention_grad; }

}  // namespace unimoer::UNIMOER_ISA_NS
