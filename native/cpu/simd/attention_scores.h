// The first product of attention with the softmax in its epilogue: scores of some keys and some
// queries in registers become weights 2^(score - reference). The reference of a query is a whole
// number near the highest score so far, and stays where it is until a score exceeds it by kSlack:
// then what has been summed is scaled by a power of two, which is exact.
#pragma once
#include "attention_tiles.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr float kSlack = 16.0f;  // in units of log2: no weight exceeds 2^kSlack

struct ScoreTile {
  const uint32_t* key;    // rows of words
  int64_t ld;
  const uint32_t* query;  // [depth][kStrip]
  int64_t depth;
  float scale;            // of a score, in units of log2
  int64_t hidden;         // key row m is hidden from the queries before hidden + m
  uint32_t* weights;      // words over keys, rows of ldw queries
  int64_t ldw;
  // Of the queries: minus the reference in units of log2, the raw score that it cannot take, the sum
  // of the weights, and the scale that the sums of the keys before this tile need.
  float *base, *limit, *sum, *rescale;
};

// Raises the references of vector v of nv of queries to their scores of `rows` keys from `key` on.
template <class T>
__attribute__((noinline, cold)) void raise(const ScoreTile& t, int64_t key, const float* scores,
                                           int rows, int nv, int v) {
  Vf top = splat(-__builtin_inff());
  for (int m = 0; m < rows; ++m) top = vmax(top, load(scores + (m * nv + v) * kWidth));
  const int64_t at = v * kWidth;
  const Vf limit = load(t.limit + at), old = load(t.base + at), c = splat(t.scale);
  const Vi over = (Vi)(top > limit);
  const Vf base = choose(over, vneg(round_even(top * c)), old);
  const Vf factor = choose(over, vexp2<false>(base - old), splat(1.0f));
  store(t.base + at, base);
  store(t.limit + at, choose(over, (splat(kSlack) - base) / c, limit));
  store(t.sum + at, load(t.sum + at) * factor);
  store(t.rescale + at, load(t.rescale + at) * factor);
  for (int64_t r = 0; r < key / Word<T>::per; ++r) {
    uint32_t* to = t.weights + r * t.ldw + at;
    if constexpr (Word<T>::per == 2) {
      const Vu pair = (Vu)load(reinterpret_cast<const float*>(to));
      const Vf low = (Vf)(pair << 16), high = (Vf)(pair & 0xffff0000u);
      store_int(reinterpret_cast<int32_t*>(to), pack_pair(low * factor, high * factor));
    } else {
      float* const weight = reinterpret_cast<float*>(to);
      store(weight, load(weight) * factor);
    }
  }
}

// Scores of MR keys and NV vectors of queries over `depth` words; `between(k)` runs amid the products.
template <class T, int MR, int NV, int Depth, class F>
UM_INLINE void add_products(RowPointers<MR>& key, const uint32_t*& query, Vf (&s)[MR][NV],
                            const F& between) {
#pragma GCC unroll 16
  for (int k = 0; k < Depth; ++k) {
    Vf b[NV];
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) {
      b[v] = load(reinterpret_cast<const float*>(query + k * kStrip) + v * kWidth);
    }
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const uint32_t a = key.word(m, k);
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) s[m][v] = Word<T>::dot(a, b[v], s[m][v]);
    }
    between(k);
  }
  key.advance(Depth);
  query += Depth * kStrip;
}

// Hides what the queries may not see and raises the references that the scores exceed.
template <class T, int MR, int NV>
UM_INLINE void settle(const ScoreTile& t, int64_t key, Vf (&s)[MR][NV]) {
  const int64_t hidden = t.hidden + key;
  if (hidden + MR > 1) {
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) s[m][v] = hide(s[m][v], hidden + m - v * kWidth);
    }
  }
  bool over = false;
#pragma GCC unroll 2
  for (int v = 0; v < NV; ++v) {
    Vf top = s[0][v];
#pragma GCC unroll 8
    for (int m = 1; m < MR; ++m) top = vmax(top, s[m][v]);
    over = over | any_above(top, load(t.limit + v * kWidth));
  }
  if (__builtin_expect(!over, 1)) return;
  alignas(64) float scores[MR * NV * kWidth];
  for (int m = 0; m < MR; ++m) {
    for (int v = 0; v < NV; ++v) store(scores + (m * NV + v) * kWidth, s[m][v]);
  }
  for (int v = 0; v < NV; ++v) raise<T>(t, key, scores, MR, NV, v);
  for (int m = 0; m < MR; ++m) {
    for (int v = 0; v < NV; ++v) s[m][v] = load(scores + (m * NV + v) * kWidth);
  }
}

// Writes the weights of two keys, or of one, for a vector of queries and adds them to the sums.
template <class T, bool Two>
UM_INLINE void weigh(const ScoreTile& t, int64_t key, int64_t lane, Vf s0, Vf s1) {
  constexpr Weight kKind = sizeof(T) == 2 ? Weight::summed : Weight::exact;
  const Vf c = splat(t.scale), base = load(t.base + lane);
  const Vf p0 = weight_exp2<kKind>(fma(s0, c, base));
  const Vf p1 = Two ? weight_exp2<kKind>(fma(s1, c, base)) : vzero();
  store(t.sum + lane, load(t.sum + lane) + (p0 + p1));
  uint32_t* const to = t.weights + key / Word<T>::per * t.ldw + lane;
  if constexpr (Word<T>::per == 2) {
    store_int(reinterpret_cast<int32_t*>(to), pack_pair(p0, p1));
  } else {
    store(reinterpret_cast<float*>(to), p0);
    if (Two) store(reinterpret_cast<float*>(to + t.ldw), p1);
  }
}

template <class T, int MR, int NV>
UM_INLINE void score_tile(const ScoreTile& t, int64_t key) {
  Vf s[MR][NV];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) s[m][v] = vzero();
  }
  RowPointers<MR> row(t.key + key * t.ld, t.ld);
  const uint32_t* query = t.query;
  for (int64_t k = 0; k < t.depth; ++k) add_products<T, MR, NV, 1>(row, query, s, [](int) UM_BODY {});
  settle<T>(t, key, s);
#pragma GCC unroll 8
  for (int m = 0; m < MR; m += 2) {
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) {
      weigh<T, (MR > 1)>(t, key + m, v * kWidth, s[m][v], s[MR > 1 ? m + 1 : m][v]);
    }
  }
}

// Tiles of kRows keys and two vectors of queries. The weights of a tile are computed amid the products
// of the next: neither fills the processor alone, and it does not look far enough ahead to overlap them.
constexpr int kRows = 4;
constexpr int kPairs = kRows;  // of keys, times vectors of queries
typedef float Pending[kPairs][2 * kWidth];

template <class T>
UM_INLINE void weigh_pending(const ScoreTile& t, int64_t key, const Pending& scores, int64_t pair) {
  weigh<T, true>(t, key + pair / 2 * 2, pair % 2 * kWidth, load(scores[pair]), load(scores[pair] + kWidth));
}

// PerBlock pairs of the pending tile are weighed in each kWhole words of depth, until none is left;
// with 0, none is pending.
template <class T, int PerBlock>
UM_INLINE void next_tile(const ScoreTile& t, int64_t key, Pending& pending) {
  Vf s[kRows][2];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) s[m][0] = s[m][1] = vzero();
  RowPointers<kRows> row(t.key + key * t.ld, t.ld);
  const uint32_t* query = t.query;
  int64_t left = t.depth;
  if constexpr (PerBlock > 0) {
    constexpr int kEvery = kWhole / PerBlock;
    for (int i = 0; i < kPairs; i += PerBlock) {
      add_products<T, kRows, 2, kWhole>(row, query, s, [&](int k) UM_BODY {
        if (k % kEvery == kEvery / 2) weigh_pending<T>(t, key - kRows, pending, i + k / kEvery);
      });
    }
    left -= kPairs / PerBlock * kWhole;
  }
  for (; left > 0; left -= kWhole) {
    add_products<T, kRows, 2, kWhole>(row, query, s, [](int) UM_BODY {});
  }
  settle<T>(t, key, s);
#pragma GCC unroll 8
  for (int i = 0; i < kPairs; ++i) {
    store(pending[i], s[i / 2 * 2][i % 2]);
    store(pending[i] + kWidth, s[i / 2 * 2 + 1][i % 2]);
  }
}

template <class T, int PerBlock, class F>
UM_INLINE int64_t scores_in_turn(const ScoreTile& t, int64_t key, int64_t end, const F& each) {
  if (key + kRows > end) return key;
  alignas(64) Pending pending;
  next_tile<T, 0>(t, key, pending);
  for (key += kRows; key + kRows <= end; key += kRows) {
    each(key);
    next_tile<T, PerBlock>(t, key, pending);
  }
  for (int i = 0; i < kPairs; ++i) weigh_pending<T>(t, key - kRows, pending, i);
  return key;
}

template <class T, int MR, int NV, class F>
UM_INLINE int64_t scores_by(const ScoreTile& t, int64_t key, int64_t end, const F& each) {
  for (; key + MR <= end; key += MR) {
    each(key);
    score_tile<T, MR, NV>(t, key);
  }
  return key;
}

// Key rows [key, end), the first even, against NV vectors of queries inside one strip. Before a
// tile of keys, each(key) has a turn.
template <class T, int NV, class F>
__attribute__((noinline)) void scores(const ScoreTile& whole, int64_t key, int64_t end, const F& each) {
  const ScoreTile t = whole;  // known to no one else
  if (kWidth == 16 && NV == 2 && t.depth % kWhole == 0) {
    if (t.depth == kWhole) {
      key = scores_in_turn<T, kPairs>(t, key, end, each);
    } else if (t.depth < 4 * kWhole) {
      key = scores_in_turn<T, kPairs / 2>(t, key, end, each);
    } else {
      key = scores_in_turn<T, kPairs / 4>(t, key, end, each);
    }
  }
  key = scores_by<T, 4, NV>(t, key, end, each);
  key = scores_by<T, 2, NV>(t, key, end, each);
  scores_by<T, 1, NV>(t, key, end, each);
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
