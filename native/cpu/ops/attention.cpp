// Attention over packed sequences with an online softmax (Dao et al., NeurIPS 2022). Scores are kept
// transposed, [key][query], so that the softmax runs down columns and never crosses lanes.
#include "../simd/attention_scores.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int64_t kKeys = 128;    // keys per tile
constexpr int64_t kQueries = 32;  // queries per tile: the columns of a transposed tile of weights
constexpr int64_t kBlock = 128;   // queries per unit
constexpr int64_t kAsk = 32;      // keys between requests for rows
static_assert(kQueries % kStrip == 0 && kBlock % kQueries == 0 && kQueries % kStep == 0);

// Some queries of a sequence, in all heads that share a key/value head.
struct Unit {
  int32_t seq, kv_head, first_query;
};

template <class T>
struct Workspace {
  uint32_t* query;    // strips [words(dim)][kStrip]
  uint32_t* value;    // [words(length)][columns]
  uint32_t* key;      // [length][words(dim)], only when memory does not hold words
  uint32_t* weights;  // [words(kKeys)][kQueries]
  float* out;         // [kQueries][columns]
  float *base, *limit, *sum, *rescale;  // [kQueries]: see ScoreTile
  // For sequences of up to `length`.
  Workspace(Arena& a, int64_t dim, int64_t columns, int64_t length) {
    query = a.take<uint32_t>(round_up(words<T>(dim), kWidth) * kQueries);
    weights = a.take<uint32_t>(words<T>(kKeys) * kQueries);
    out = a.take<float>(kQueries * columns);
    base = a.take<float>(kQueries);
    limit = a.take<float>(kQueries);
    sum = a.take<float>(kQueries);
    rescale = a.take<float>(kQueries);
    value = a.take<uint32_t>(words<T>(length) * columns);
    const bool copies = !Word<T>::direct || dim % Word<T>::per != 0;
    key = a.take<uint32_t>(copies ? length * words<T>(dim) : 0);
  }
};

template <class T>
struct Buffers {
  const T *q, *k, *v;
  T* o;
  float* lse;
};

// Where a unit lies: its rows of keys and the part of its sequence that its queries see.
struct Place {
  int64_t first, queries, keys, kv_at;
  Place(const Problem& p, const Unit& u) {
    const int64_t length = p.cu[u.seq + 1] - p.cu[u.seq];
    first = p.cu[u.seq] + u.first_query;
    queries = length - u.first_query < kBlock ? length - u.first_query : kBlock;
    keys = p.causal ? u.first_query + queries : length;
    kv_at = p.cu[u.seq] * p.kv_stride() + u.kv_head * p.dim;
  }
};

// Rows that the work on a unit asks for on its way: what the next unit reads, and its own of the result.
struct Upcoming {
  Ahead rows[4];
  UM_INLINE void ask() {
    for (Ahead& r : rows) r.ask(r.step);
  }
  UM_INLINE void ask_rest() {
    for (Ahead& r : rows) r.ask(r.left);
  }
};

// What `unit` reads, except what `before` has read, to be asked for in `steps`.
template <class T>
Upcoming inputs_of(const Problem& p, const Buffers<T>& b, const Unit& unit, const Unit* before, int64_t steps) {
  const Place at(p, unit);
  const int64_t group = p.heads / p.kv_heads, item = sizeof(T), bytes = p.dim * item;
  const bool same = before != nullptr && before->seq == unit.seq && before->kv_head == unit.kv_head;
  const int64_t keys = same ? 0 : at.keys, ld = p.kv_stride() * item, q_ld = p.q_stride() * item;
  const T* const q = b.q + at.first * p.q_stride() + unit.kv_head * group * p.dim;
  const auto step = [=](int64_t rows) { return (rows + steps - 1) / steps; };
  return {{{b.k + at.kv_at, ld, keys, bytes, step(keys)},
           {b.v + at.kv_at, ld, keys, bytes, step(keys)},
           {q, q_ld, at.queries, group * bytes, step(at.queries)},
           {nullptr, 0, 0, 0, 0}}};
}

// Weights of a tile of keys for all queries of the tile.
template <class T>
void weigh_keys(const Problem& p, const Workspace<T>& w, const RowWords& key, const Reach& reach,
                int64_t padded, Upcoming& ahead) {
  const int64_t width = round_up(words<T>(p.dim), kWidth), depth = words<T>(p.dim);
  for (int64_t q = 0; q < padded; q += kStrip) {
    const auto tile = [&](int64_t at) UM_BODY {  // of the queries from column `at` on
      return ScoreTile{key.at, key.ld, w.query + q * width + (at - q), depth, p.log2_scale(),
                       -reach.ahead - at, w.weights + at, kQueries, w.base + at, w.limit + at,
                       w.sum + at, w.rescale + at};
    };
    const auto ask = [&](int64_t r) UM_BODY {
      if (r % kAsk == 0) ahead.ask();
    };
    const int64_t rows = reach.keys_for(q);
    if (padded - q < kStrip) {
      scores<T, 1>(tile(q), 0, rows, ask);
      continue;
    }
    scores<T, 2>(tile(q), 0, rows, ask);
    // The keys that only the second vector sees.
    scores<T, 1>(tile(q + kWidth), rows, reach.keys_for(q + kWidth), ask);
  }
}

// A tile of queries of one head, from row `row` on.
template <class T>
void run_queries(const Problem& p, const Buffers<T>& b, const Unit& unit, const RowWords& key, int64_t head,
                 int64_t row, int64_t queries, Upcoming& ahead, const Workspace<T>& w) {
  const int64_t dim = p.dim, columns = round_up(dim, kWidth), padded = round_up(queries, kWidth);
  const int64_t start = p.cu[unit.seq], first = row - start, at = row * p.q_stride() + head * dim;
  const int64_t end = p.causal ? first + queries : p.cu[unit.seq + 1] - start;
  pack_strips(b.q + at, p.q_stride(), queries, dim, w.query, round_up(words<T>(dim), kWidth));
  for (int64_t q = 0; q < padded; ++q) {
    w.base[q] = 3e38f;
    w.limit[q] = -__builtin_inff();
    w.sum[q] = 0.0f;
  }
  for (int64_t j = 0; j < end; j += kKeys) {
    const int64_t keys = end - j < kKeys ? end - j : kKeys;
    const Reach reach(p.causal, j, keys, first, queries);
    for (int64_t q = 0; q < padded; ++q) w.rescale[q] = 1.0f;
    weigh_keys<T>(p, w, RowWords{key.at + j * key.ld, key.ld}, reach, padded, ahead);
    ahead.rows[3].ask(queries);
    reach.by_queries([&](int64_t q, int64_t rows, int64_t depth) {
      const Tile product{w.weights + q,       kQueries, w.value + j / Word<T>::per * columns, columns,
                         w.out + q * columns, columns,  words<T>(depth),                      w.rescale + q};
      if (j == 0) {
        multiply<T, true, Into::overwrite>(product, rows, columns / kWidth);
      } else {
        multiply<T, true, Into::scale_rows_and_add>(product, rows, columns / kWidth);
      }
    });
  }
  float* const lse = b.lse + head * p.tokens + row;
  each_vector(0, queries, [=](int64_t i, int k) UM_BODY {
    const Vf sum = load(w.sum + i);
    put(lse + i, fma(load(w.base + i), splat(-kLn2), vlog(sum)), k);
    store(w.rescale + i, splat(1.0f) / sum);
  });
  for (int64_t q = 0; q < queries; ++q) {
    write_rows(w.out + q * columns, columns, w.rescale[q], b.o + at + q * p.q_stride(), p.q_stride(), 1, dim);
  }
}

template <class T>
void run_unit(const Problem& p, const Buffers<T>& b, const Unit& unit, const Unit* next,
              const Workspace<T>& w) {
  const Place here(p, unit);
  const int64_t dim = p.dim, columns = round_up(dim, kWidth), group = p.heads / p.kv_heads;
  const RowWords key = row_words(b.k + here.kv_at, p.kv_stride(), here.keys, dim, w.key);
  pack_rows(b.v + here.kv_at, p.kv_stride(), here.keys, dim, w.value, columns);
  const int64_t tiles = (here.queries + kQueries - 1) / kQueries, item = sizeof(T);
  const int64_t steps = group * tiles * ((here.keys + kAsk - 1) / kAsk);
  Upcoming ahead = next == nullptr ? Upcoming{} : inputs_of(p, b, *next, &unit, steps);
  for (int64_t i = 0; i < group * tiles; ++i) {
    const int64_t head = unit.kv_head * group + i / tiles, q = i % tiles * kQueries, row = here.first + q;
    const int64_t queries = here.queries - q < kQueries ? here.queries - q : kQueries;
    ahead.rows[3] = {b.o + row * p.q_stride() + head * dim, p.q_stride() * item, queries, dim * item,
                     kQueries / 4};
    run_queries(p, b, unit, key, head, row, queries, ahead, w);
  }
  ahead.ask_rest();
}

// The units in order; where there are few, those with most keys come first.
int64_t list_units(const Problem& p, Unit* units) {
  int64_t count = 0;
  for (int64_t s = 0; s < p.seqs; ++s) {
    const int64_t blocks = (p.cu[s + 1] - p.cu[s] + kBlock - 1) / kBlock;
    for (int64_t h = 0; h < p.kv_heads; ++h) {
      for (int64_t i = blocks; i > 0; --i, ++count) {
        if (units == nullptr) continue;
        units[count] = Unit{static_cast<int32_t>(s), static_cast<int32_t>(h),
                            static_cast<int32_t>((i - 1) * kBlock)};
      }
    }
  }
  return count;
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
    int64_t longest = 0;
    for (int64_t s = 0; s < p.seqs; ++s) {
      const int64_t n = p.cu[s + 1] - p.cu[s];
      if (n > longest) longest = n;
    }
    const int64_t count = list_units(p, nullptr);
    Unit* units = static_cast<Unit*>(scratch(1, static_cast<size_t>(count) * sizeof(Unit)));
    if (units == nullptr) return no_scratch();
    list_units(p, units);
    const Buffers<T> b{a.ptr<T>(0), a.ptr<T>(1), a.ptr<T>(2), a.ptr<T>(4), a.ptr<float>(5)};
    const int64_t columns = round_up(p.dim, kWidth);
    bool failed = false;
    parallel(count, count >= 256 ? 4 : count >= 64 ? 2 : 1, [&](int64_t begin, int64_t end) {
      Arena measure{nullptr, 0};
      Workspace<T>(measure, p.dim, columns, longest);
      Arena arena{static_cast<char*>(scratch(0, measure.used)), 0};
      if (arena.base == nullptr) {
        __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
        return;
      }
      const Workspace<T> w(arena, p.dim, columns, longest);
      inputs_of(p, b, units[begin], nullptr, 1).ask_rest();
      for (int64_t u = begin; u < end; ++u) {
        run_unit<T>(p, b, units[u], u + 1 < end ? units + u + 1 : nullptr, w);
      }
    });
    return failed ? no_scratch() : Status::ok;
  });
}

}  // namespace

void register_attention(KernelTable& t) { t.fn[k_attention] = attention; }

}  // namespace unimoer::UNIMOER_ISA_NS
