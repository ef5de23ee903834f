// Gradient of attention over packed sequences (Dao et al., NeurIPS 2022, algorithm 4). One task owns
// a sequence and a key/value head, so dk and dv have one writer and one order of summation. Where
// there are few of those, each is cut into parts that take turns at its tiles of queries; their
// partial sums of dk and dv are added in order.
#include "../simd/attention_grad_tile.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int64_t kFewUnits = 4, kParts = 8;          // fewer units get parts, tasks to aim at
constexpr int64_t kPartialBytes = int64_t{64} << 20;  // all partial sums together

struct Plan {
  int64_t units, parts, longest, columns;
  int64_t part_size;  // floats of the partial dk of a part, for all units; dv has as many
};

Plan plan_of(const Problem& p) {
  Plan plan{p.seqs * p.kv_heads, 1, 0, round_up(p.dim, kWidth), 0};
  for (int64_t s = 0; s < p.seqs; ++s) {
    const int64_t n = p.cu[s + 1] - p.cu[s];
    if (n > plan.longest) plan.longest = n;
  }
  plan.part_size = p.tokens * p.kv_heads * plan.columns;
  if (plan.units < kFewUnits && plan.longest * (p.heads / p.kv_heads) >= 4 * kTile) {
    const int64_t wanted = (kParts + plan.units - 1) / plan.units;
    const int64_t fit = kPartialBytes / (plan.part_size * 8);
    plan.parts = fit < 2 ? 1 : wanted < fit ? wanted : fit;
  }
  return plan;
}

// Partial sums: [part][dk, dv], and in each the units one after another as [length][columns].
struct Partials {
  float* sums;
  int64_t* reached;  // [unit][part]: keys that have sums
};

UM_INLINE int64_t offset_in_part(const Problem& p, const Plan& plan, int64_t unit) {
  const int64_t seq = unit / p.kv_heads, length = p.cu[seq + 1] - p.cu[seq];
  return (p.cu[seq] * p.kv_heads + unit % p.kv_heads * length) * plan.columns;
}

Upcoming start_of(const Problem& p, int64_t unit) {
  const int64_t seq = unit / p.kv_heads, kv_head = unit % p.kv_heads, n = p.cu[seq + 1] - p.cu[seq];
  return {p.cu[seq] * p.q_stride() + kv_head * (p.heads / p.kv_heads) * p.dim, n < kTile ? n : kTile,
          p.cu[seq] * p.kv_stride() + kv_head * p.dim, n};
}

Upcoming upcoming(const Problem& p, int64_t unit, int64_t end, int64_t head, int64_t q) {
  const int64_t group = p.heads / p.kv_heads, seq = unit / p.kv_heads, length = p.cu[seq + 1] - p.cu[seq];
  const auto queries = [](int64_t n) UM_BODY { return n < kTile ? n : kTile; };
  if (q + kTile < length) {
    return {(p.cu[seq] + q + kTile) * p.q_stride() + head * p.dim, queries(length - q - kTile), 0, 0};
  }
  if ((head + 1) % group != 0) {
    return {p.cu[seq] * p.q_stride() + (head + 1) * p.dim, queries(length), 0, 0};
  }
  return unit + 1 == end ? Upcoming{0, 0, 0, 0} : start_of(p, unit + 1);
}

template <class T>
void run_unit(const Problem& p, const Buffers<T>& b, const Plan& plan, const Partials& partials,
              int64_t task, int64_t end, const Workspace<T>& w) {
  const int64_t unit = task / plan.parts, part = task % plan.parts;
  const int64_t seq = unit / p.kv_heads, kv_head = unit % p.kv_heads;
  const int64_t first = p.cu[seq], length = p.cu[seq + 1] - first;
  if (plan.parts > 1) partials.reached[task] = 0;
  if (length == 0) return;
  const int64_t columns = plan.columns, ld = p.kv_stride(), group = p.heads / p.kv_heads;
  const int64_t at = first * ld + kv_head * p.dim;
  pack_rows(b.k + at, ld, length, p.dim, w.key_r, columns);
  Span<T> span{p, b, w, first, length, kv_head, columns,
               row_words(b.k + at, ld, length, p.dim, w.key),
               row_words(b.v + at, ld, length, p.dim, w.value), 0, group == 1 && length <= kTile};
  if (plan.parts > 1) {
    span.w.dk = partials.sums + 2 * part * plan.part_size + offset_in_part(p, plan, unit);
    span.w.dv = span.w.dk + plan.part_size;
    span.once = false;
  }
  int64_t turn = 0;
  for (int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
    for (int64_t q = 0; q < length; q += kTile) {
      if (turn++ % plan.parts != part) continue;
      const int64_t count = length - q < kTile ? length - q : kTile;
      const bool last = plan.parts == 1 && h + 1 == (kv_head + 1) * group && q + kTile >= length;
      const Upcoming next = plan.parts > 1 ? Upcoming{0, 0, 0, 0} : upcoming(p, unit, end, h, q);
      run_queries(span, QueryTile{h, q, count, round_up(count, kWidth), last}, next);
    }
  }
  if (plan.parts > 1) partials.reached[task] = span.reached;
}

// Keys [begin, end) of dk and dv of a unit from its partial sums.
template <class T>
void add_parts(const Problem& p, const Buffers<T>& b, const Plan& plan, const Partials& partials,
               int64_t unit, int64_t begin, int64_t end) {
  const int64_t* reached = partials.reached + unit * plan.parts;
  const int64_t to = p.cu[unit / p.kv_heads] * p.kv_stride() + unit % p.kv_heads * p.dim;
  for (int64_t key = begin; key < end; ++key) {
    float* const sums = partials.sums + offset_in_part(p, plan, unit) + key * plan.columns;
    const auto add = [&](const float* sum, float scale, T* out) UM_BODY {
      each_vector(0, p.dim, [&](int64_t i, int n) UM_BODY {
        Vf total = vzero();
        for (int64_t part = 0; part < plan.parts; ++part) {
          if (key < reached[part]) total = total + load(sum + 2 * part * plan.part_size + i);
        }
        put(out + i, total * splat(scale), n);
      });
    };
    add(sums, p.scale, b.dk + to + key * p.kv_stride());
    add(sums + plan.part_size, 1.0f, b.dv + to + key * p.kv_stride());
  }
}

template <class T>
Status run_tasks(const Problem& p, const Buffers<T>& b) {
  const Plan plan = plan_of(p);
  Partials partials{nullptr, nullptr};
  if (plan.parts > 1) {
    Arena measure{nullptr, 0};
    const auto carve = [&](Arena& a) {
      partials.sums = a.take<float>(2 * plan.parts * plan.part_size);
      partials.reached = a.take<int64_t>(plan.units * plan.parts);
    };
    carve(measure);
    Arena arena{static_cast<char*>(scratch(1, measure.used)), 0};
    if (arena.base == nullptr) return no_scratch();
    carve(arena);
  }
  const int64_t tasks = plan.units * plan.parts, summed = plan.parts > 1 ? 0 : plan.longest;
  bool failed = false;
  // Neighbouring heads in one task: each asks for the rows of the next in time.
  parallel(tasks, tasks >= 256 ? 4 : tasks >= 64 ? 2 : 1, [&](int64_t begin, int64_t end) {
    Arena measure{nullptr, 0};
    Workspace<T>(measure, p.dim, plan.columns, plan.longest, summed);
    Arena arena{static_cast<char*>(scratch(0, measure.used)), 0};
    if (arena.base == nullptr) {
      __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
      return;
    }
    const Workspace<T> w(arena, p.dim, plan.columns, plan.longest, summed);
    if (plan.parts == 1) {
      Requests<T> requests;
      requests.add_inputs(p, b, start_of(p, begin));
      requests.spread(1);
      for (int i = 0; i < requests.count; ++i) requests.ask();
    }
    for (int64_t task = begin; task < end; ++task) run_unit<T>(p, b, plan, partials, task, end, w);
  });
  if (failed) return no_scratch();
  if (plan.parts > 1) {
    constexpr int64_t kRows = 64;
    const int64_t chunks = (plan.longest + kRows - 1) / kRows;
    parallel(plan.units * chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t unit = i / chunks, from = i % chunks * kRows, seq = unit / p.kv_heads;
        const int64_t length = p.cu[seq + 1] - p.cu[seq];
        add_parts(p, b, plan, partials, unit, from, from + kRows < length ? from + kRows : length);
      }
    });
  }
  return Status::ok;
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
    return p.tokens == 0 ? Status::ok : run_tasks(p, b);
  });
}

}  // namespace

void register_attention_grad(KernelTable& t) { t.fn[k_attention_grad] = attention_grad; }

}  // namespace unimoer::UNIMOER_ISA_NS
