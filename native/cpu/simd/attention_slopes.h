// The inner product of attention's gradient: for some keys and some queries, scores and their
// gradients in registers, from which come the weights p = exp(score - lse) and the slopes
// p (dp - dot), written in the forms that the products with do, q and k read.
#pragma once
#include "attention_tiles.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

struct SlopeTile {
  const uint32_t *key, *value;   // rows of words
  int64_t ld;
  const uint32_t *query, *grad;  // [depth][kStrip]
  int64_t depth;
  const float *base, *dot;       // of the queries; base is -lse in units of log2
  float scale;                   // of a score, in units of log2
  int64_t hidden;                // key row m is hidden from the queries before hidden + m
  uint32_t *weights, *slopes;    // rows of words over queries
  int64_t ldw, lds;
  uint32_t* across;              // pairs of keys [word][query]; the rows of slopes themselves in f32
  int64_t lda;
};

#if defined(UM_HAS_BF16_DOT)
// Lane i of the result: half word i of x and of y.
UM_INLINE Vi pair_rows(Vi x, Vi y, int first) {
  const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8,
                                       39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i order = first == 0 ? low : _mm512_add_epi16(low, _mm512_set1_epi16(16));
  return (Vi)_mm512_permutex2var_epi16((__m512i)x, order, (__m512i)y);
}
UM_INLINE Vi row_of(Vf a, Vf b) { return (Vi)(__m512i)_mm512_cvtne2ps_pbh(b, a); }
#endif

// Rows m and m + 1 (the second zero when there is none) as the products read them.
template <class T, int NV, bool Two>
UM_INLINE void put_slopes(const SlopeTile& t, int m, const Vf* s0, const Vf* s1) {
  uint32_t* across = t.across + m / Word<T>::per * t.lda;
#if defined(UM_HAS_BF16_DOT)
  if constexpr (Word<T>::per == 2) {
    int32_t* row = reinterpret_cast<int32_t*>(t.slopes + m * t.lds);
    if constexpr (NV == 2) {
      const Vi r0 = row_of(s0[0], s0[1]), r1 = Two ? row_of(s1[0], s1[1]) : (Vi)vzero();
      store_int(row, r0);
      if (Two) store_int(row + t.lds, r1);
      store_int(reinterpret_cast<int32_t*>(across), pair_rows(r0, r1, 0));
      store_int(reinterpret_cast<int32_t*>(across) + kWidth, pair_rows(r0, r1, kWidth));
    } else {
      put_words<T>(t.slopes + m * t.lds, 0, s0[0]);
      if (Two) put_words<T>(t.slopes + (m + 1) * t.lds, 0, s1[0]);
      store_int(reinterpret_cast<int32_t*>(across), pack_pair(s0[0], Two ? s1[0] : vzero()));
    }
    return;
  }
#endif
  for (int v = 0; v < NV; ++v) store(reinterpret_cast<float*>(across) + v * kWidth, s0[v]);
  for (int v = 0; Two && v < NV; ++v) {
    store(reinterpret_cast<float*>(across + t.lda) + v * kWidth, s1[v]);
  }
}

template <class T, int NV>
UM_INLINE void put_weights(const SlopeTile& t, int m, const Vf* p) {
#if defined(UM_HAS_BF16_DOT)
  if constexpr (Word<T>::per == 2 && NV == 2) {
    store_int(reinterpret_cast<int32_t*>(t.weights + m * t.ldw), row_of(p[0], p[1]));
    return;
  }
#endif
  for (int v = 0; v < NV; ++v) put_words<T>(t.weights + m * t.ldw, v * kWidth, p[v]);
}

// One of the two products.
template <class T, int MR, int NV>
UM_INLINE void strip_products(const uint32_t* rows, int64_t ld, const uint32_t* strip, int64_t depth, Vf (&sums)[MR][NV]) {
  const AnyWord* row = rows;
  for (int64_t k = 0; k < depth; ++k, ++row, strip += kStrip) {
    Vf b[NV];
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) b[v] = load(reinterpret_cast<const float*>(strip) + v * kWidth);
#pragma GCC unroll 4
    for (int m = 0; m < MR; ++m) {
      const uint32_t a = row[m * ld];
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) sums[m][v] = Word<T>::dot(a, b[v], sums[m][v]);
    }
  }
}

// Sixteen registers hold the sums of both products for two keys only; one after the other, for four.
constexpr bool kApart = kWidth < 16;

template <class T, int MR, int NV>
UM_INLINE void slope_tile(const SlopeTile& t) {
  constexpr Weight kKind = sizeof(T) == 2 ? Weight::rounded : Weight::exact;
  Vf s[MR][NV], d[MR][NV];
#pragma GCC unroll 4
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) s[m][v] = d[m][v] = vzero();
  }
  if constexpr (kApart) {
    strip_products<T>(t.key, t.ld, t.query, t.depth, s);
    strip_products<T>(t.value, t.ld, t.grad, t.depth, d);
  }
  const AnyWord *key = t.key, *value = t.value;
  const uint32_t *query = t.query, *grad = t.grad;
  for (int64_t k = 0; !kApart && k < t.depth; ++k) {
    Vf bq[NV], bg[NV];
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) {
      bq[v] = load(reinterpret_cast<const float*>(query) + v * kWidth);
      bg[v] = load(reinterpret_cast<const float*>(grad) + v * kWidth);
    }
#pragma GCC unroll 4
    for (int m = 0; m < MR; ++m) {
      const uint32_t a = key[m * t.ld], b = value[m * t.ld];
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) {
        s[m][v] = Word<T>::dot(a, bq[v], s[m][v]);
        d[m][v] = Word<T>::dot(b, bg[v], d[m][v]);
      }
    }
    ++key;
    ++value;
    query += kStrip;
    grad += kStrip;
  }
  if (t.hidden + MR > 1) {
#pragma GCC unroll 4
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) s[m][v] = hide(s[m][v], t.hidden + m - v * kWidth);
    }
  }
  const Vf c = splat(t.scale);
#pragma GCC unroll 4
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) {
      s[m][v] = weight_exp2<kKind>(fma(s[m][v], c, load(t.base + v * kWidth)));
      d[m][v] = s[m][v] * (d[m][v] - load(t.dot + v * kWidth));
    }
    put_weights<T, NV>(t, m, s[m]);
    if (m % 2 == 1) put_slopes<T, NV, true>(t, m - 1, d[m - 1], d[m]);
  }
  if constexpr (MR % 2 == 1) put_slopes<T, NV, false>(t, MR - 1, d[MR - 1], nullptr);
}

template <class T, int MR, int NV, class F>
UM_INLINE int64_t slopes_by(const SlopeTile& t, int64_t m, int64_t rows, const F& each) {
  for (; m + MR <= rows; m += MR) {
    each();
    SlopeTile u = t;
    u.key += m * t.ld;
    u.value += m * t.ld;
    u.weights += m * t.ldw;
    u.slopes += m * t.lds;
    u.across += m / Word<T>::per * t.lda;
    u.hidden += m;
    slope_tile<T, MR, NV>(u);
  }
  return m;
}

// `rows` keys against NV vectors of queries inside one strip. Before a tile of keys, each() has a turn.
template <class T, int NV, class F>
__attribute__((noinline)) void slopes(const SlopeTile& t, int64_t rows, const F& each) {
  int64_t m = 0;
  m = slopes_by<T, 4, NV>(t, m, rows, each);
  m = slopes_by<T, 2, NV>(t, m, rows, each);
  slopes_by<T, 1, NV>(t, m, rows, each);
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
