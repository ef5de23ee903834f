// Attention over packed sequences with an online softmax (Dao et al., NeurIPS 2022). Scores are kept
// transposed, [key][query], so that the softmax runs down columns and never crosses lanes.
#include "../simd/attention_tiles.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int64_t kKeys = 128;  // keys per tile
constexpr int kQueries = 64;    // queries per tile: the columns of a transposed score tile

struct Unit {
  int32_t seq, head, first_query;
};

template <class T>
struct Workspace {
  uint32_t* query;    // [words(dim)][kQueries]
  uint32_t* value;    // [words(kKeys)][columns]
  uint32_t* key;      // [kKeys][words(dim)], only when memory does not hold words
  uint32_t* weights;  // [words(kKeys)][kQueries]
  float* score;       // [kKeys][kQueries]
  float* out;         // [kQueries][columns]
  float* max;         // in units of log2
  float* sum;
  float* rescale;
  Workspace(Arena& a, int64_t dim, int64_t columns) {
    query = a.take<uint32_t>(round_up(words<T>(dim), kWidth) * kQueries);
    value = a.take<uint32_t>(words<T>(kKeys) * columns);
    key = a.take<uint32_t>(kKeys * words<T>(dim));
    weights = a.take<uint32_t>(words<T>(kKeys) * kQueries);
    score = a.take<float>(kKeys * kQueries);
    out = a.take<float>(kQueries * columns);
    max = a.take<float>(kQueries);
    sum = a.take<float>(kQueries);
    rescale = a.take<float>(kQueries);
  }
};

// Hides the keys after each query inside the steps on the diagonal.
UM_INLINE void mask_future(float* score, const Reach& reach) {
  for (int64_t r = reach.ahead; r < reach.keys; ++r) {
    const int64_t hidden = r - reach.ahead;
    for (int64_t q = hidden / kStep * kStep; q < hidden; ++q) {
      score[r * kQueries + q] = -__builtin_inff();
    }
  }
}

// Turns a tile of raw scores into weights and updates the running maximum and sum.
template <class T>
void online_softmax(const Workspace<T>& w, const Reach& reach, int64_t queries, float log2_scale) {
  constexpr bool kShort = sizeof(T) == 2;
  const Vf c = splat(log2_scale);
  for (int64_t q = 0; q < queries; q += kWidth) {
    const float* s = w.score + q;
    const int64_t keys = reach.keys_for(q);
    Vf top0 = load(s), top1 = top0;
    int64_t r = 1;
    for (; r + 2 <= keys; r += 2) {
      top0 = vmax(top0, load(s + r * kQueries));
      top1 = vmax(top1, load(s + (r + 1) * kQueries));
    }
    if (r < keys) top0 = vmax(top0, load(s + r * kQueries));
    const Vf before = load(w.max + q);
    const Vf max = vmax(before, vmax(top0, top1) * c);
    const Vf rescale = vexp2<false>(before - max);
    Vf sum0 = vzero(), sum1 = vzero();
    for (r = 0; r + 2 <= keys; r += 2) {
      const Vf p0 = vexp2<kShort>(fma(load(s + r * kQueries), c, vneg(max)));
      const Vf p1 = vexp2<kShort>(fma(load(s + (r + 1) * kQueries), c, vneg(max)));
      sum0 = sum0 + p0;
      sum1 = sum1 + p1;
      if constexpr (Word<T>::per == 2) {
        store_int(reinterpret_cast<int32_t*>(w.weights + r / 2 * kQueries + q), pack_pair(p0, p1));
      } else {
        store(reinterpret_cast<float*>(w.weights + r * kQueries + q), p0);
        store(reinterpret_cast<float*>(w.weights + (r + 1) * kQueries + q), p1);
      }
    }
    if (r < keys) {
      const Vf p = vexp2<kShort>(fma(load(s + r * kQueries), c, vneg(max)));
      sum0 = sum0 + p;
      const Vi pair = Word<T>::per == 2 ? pack_pair(p, vzero()) : (Vi)p;
      store_int(reinterpret_cast<int32_t*>(w.weights + r / Word<T>::per * kQueries + q), pair);
    }
    store(w.max + q, max);
    store(w.rescale + q, rescale);
    store(w.sum + q, fma(load(w.sum + q), rescale, sum0 + sum1));
  }
}

template <class T>
struct Buffers {
  const T *q, *k, *v;
  T* o;
  float* lse;
};

template <class T>
void run_unit(const Problem& p, const Buffers<T>& b, Unit unit, const Workspace<T>& w) {
  const int64_t dim = p.dim, columns = round_up(dim, kWidth);
  const int64_t first = p.cu[unit.seq], length = p.cu[unit.seq + 1] - first;
  const int64_t queries = length - unit.first_query < kQueries ? length - unit.first_query : kQueries;
  const int64_t padded = round_up(queries, kWidth);
  const int64_t kv_head = unit.head / (p.heads / p.kv_heads);
  const int64_t row = first + unit.first_query;
  pack_transposed(b.q + row * p.q_stride() + unit.head * dim, p.q_stride(), queries, dim, w.query,
                  kQueries, padded);
  for (int64_t q = 0; q < padded; ++q) {
    w.max[q] = -__builtin_inff();
    w.sum[q] = 0.0f;
  }
  const int64_t end = p.causal ? unit.first_query + queries : length;
  for (int64_t j = 0; j < end; j += kKeys) {
    const int64_t keys = end - j < kKeys ? end - j : kKeys;
    const int64_t at = (first + j) * p.kv_stride() + kv_head * dim;
    const RowWords key = row_words(b.k + at, p.kv_stride(), keys, dim, w.key);
    const Reach reach(p.causal, j, keys, unit.first_query, queries);
    reach.by_keys([&](int64_t r, int64_t rows, int64_t q) {
      multiply<T, false, Into::overwrite>(
          Tile{key.at + r * key.ld, key.ld, w.query + q, kQueries, w.score + r * kQueries + q, kQueries,
               words<T>(dim), nullptr},
          rows, (padded - q) / kWidth);
    });
    mask_future(w.score, reach);
    online_softmax<T>(w, reach, padded, p.scale * kLog2E);
    pack_rows(b.v + at, p.kv_stride(), keys, dim, w.value, columns);
    reach.by_queries([&](int64_t q, int64_t rows, int64_t depth) {
      const Tile product{w.weights + q,           kQueries, w.value,         columns,
                         w.out + q * columns,     columns,  words<T>(depth), w.rescale + q};
      if (j == 0) {
        multiply<T, true, Into::overwrite>(product, rows, columns / kWidth);
      } else {
        multiply<T, true, Into::scale_rows_and_add>(product, rows, columns / kWidth);
      }
    });
  }
  for (int64_t q = 0; q < queries; ++q) {
    const Vf inverse = splat(1.0f / w.sum[q]);
    const float* from = w.out + q * columns;
    T* to = b.o + (row + q) * p.q_stride() + unit.head * dim;
    each_vector(0, dim, [=](int64_t i, int k) UM_BODY { put(to + i, load(from + i) * inverse, k); });
  }
  float* lse = b.lse + unit.head * p.tokens + row;
  each_vector(0, queries, [=](int64_t i, int k) UM_BODY {
    put(lse + i, fma(load(w.max + i), splat(kLn2), vlog(load(w.sum + i))), k);
  });
}

Status attention(const KernelArgs& a) {
  Problem p;
  const Status read = read_problem(a, 3, &p);
  if (read != Status::ok) return read;
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    const int64_t q_stride = bytes_of(p.heads, p.dim, 1), kv_stride = bytes_of(p.kv_heads, p.dim, 1);
    if (!holds(a, 0, p.tokens, q_stride, sizeof(T)) || !holds(a, 1, p.tokens, kv_stride, sizeof(T)) ||
        !holds(a, 2, p.tokens, kv_stride, sizeof(T)) || !holds(a, 4, p.tokens, q_stride, sizeof(T)) ||
        !holds(a, 5, p.tokens, p.heads, 4)) {
      return too_small();
    }
    if (p.tokens == 0) return Status::ok;
    int64_t count = 0;
    for (int64_t s = 0; s < p.seqs; ++s) {
      count += (p.cu[s + 1] - p.cu[s] + kQueries - 1) / kQueries * p.heads;
    }
    Unit* units = static_cast<Unit*>(scratch(1, static_cast<size_t>(count) * sizeof(Unit)));
    if (units == nullptr) return no_scratch();
    Unit* next = units;
    for (int64_t s = 0; s < p.seqs; ++s) {
      for (int64_t h = 0; h < p.heads; ++h) {
        for (int64_t q = 0; q < p.cu[s + 1] - p.cu[s]; q += kQueries) {
          *next++ = Unit{static_cast<int32_t>(s), static_cast<int32_t>(h), static_cast<int32_t>(q)};
        }
      }
    }
    const Buffers<T> b{a.ptr<T>(0), a.ptr<T>(1), a.ptr<T>(2), a.ptr<T>(4), a.ptr<float>(5)};
    const int64_t columns = round_up(p.dim, kWidth);
    bool failed = false;
    parallel(count, count > 2048 ? 8 : count > 256 ? 2 : 1, [&](int64_t begin, int64_t end) {
      Arena measure{nullptr, 0};
      Workspace<T>(measure, p.dim, columns);
      Arena arena{static_cast<char*>(scratch(0, measure.used)), 0};
      if (arena.base == nullptr) {
        __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
        return;
      }
      const Workspace<T> w(arena, p.dim, columns);
      for (int64_t u = begin; u < end; ++u) run_unit<T>(p, b, units[u], w);
    });
    return failed ? no_scratch() : Status::ok;
  });
}

}  // namespace

void register_attention(KernelTable& t) { t.fn[k_attention] = attention; }

}  // namespace unimoer::UNIMOER_ISA_NS
