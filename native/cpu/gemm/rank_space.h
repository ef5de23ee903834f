// What the adapted linear and its gradient share: up to kMaxMembers frozen weights that read the same
// x, each with its low-rank pair. The ranks of all members stand side by side in one rank space, with
// scale[t, j] = rankScale[j] * gates[rowToGate[t], rankExpert[j]].
#pragma once
#include "cpu/gemm/core/core.h"
#include "cpu/simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kMaxMembers = 3;
constexpr int kSlotCut = 0, kSlotPicked = 1, kSlotRanks = 2, kSlotRows = 3, kSlotStagedRows = 4, kSlotSums = 5,
              kSlotBlock = 6, kSlotPanels = 7;

struct Member {
  int64_t n, ranks;  // n = 0: there is no such member
  int64_t first;     // its first rank in rank space
  void* edge;        // y or dy; null in a gradient whose dy is absent
  Panels weight;
  const float *a, *b;  // [ranks, k], [n, ranks]
};

struct RankSpace {
  int64_t ranks, experts, groups;
  const float* gates;          // [groups, experts] or null
  const int32_t* row_to_gate;  // [rows] or null: one group for all rows, or one per row
  const float* rank_scale;     // [ranks]
  const int32_t* rank_expert;  // [ranks]
  bool sparse;                 // a gate of 0 takes no gradient, so its ranks need not be computed

  UM_INLINE int64_t group(int64_t row) const {
    return row_to_gate ? row_to_gate[row] : groups == 1 ? 0 : row;
  }
  // For the `count` ranks that are listed.
  UM_INLINE void scale_of(int64_t row, const int32_t* list, int64_t count, float* scale) const {
    const float* gate = gates ? gates + group(row) * experts : nullptr;
    for (int64_t j = 0; j < count; ++j)
      scale[j] = gate ? rank_scale[list[j]] * gate[rank_expert[list[j]]] : rank_scale[list[j]];
  }
  // Whether `row` needs another scale than the row before it.
  UM_INLINE bool changes_at(int64_t row) const { return gates && group(row) != group(row - 1); }
};

struct Group {
  int dtype_x, dtype_packed;
  Compute compute, rank_compute;
  const void* x;  // [m, k]
  int64_t m, k;
  Member member[kMaxMembers];
  RankSpace rank;
  const float* a;  // A of all members, [ranks, k]

  Source source() const { return Source{x, dtype_x, k, 1}; }
  // dy of one member.
  Source edge(const Member& u) const { return Source{u.edge, dtype_x, u.n, 1}; }
};

UM_INLINE Status check_gates(const Group& g) {
  const RankSpace& rank = g.rank;
  if (!rank.row_to_gate && rank.groups != 1 && rank.groups < g.m)
    return fail(Status::bad_argument, "adapted_linear: rows need rowToGate when there are fewer gate rows than rows");
  if (g.m > 0 && (rank.groups < 1 || rank.experts < 1)) return too_small();
  for (int64_t t = 0; rank.row_to_gate && t < g.m; ++t)
    if (rank.row_to_gate[t] < 0 || rank.row_to_gate[t] >= rank.groups)
      return fail(Status::bad_argument, "adapted_linear: rowToGate names a gate row that does not exist");
  for (int64_t j = 0; j < rank.ranks; ++j)
    if (rank.rank_expert[j] < 0 || rank.rank_expert[j] >= rank.experts)
      return fail(Status::bad_argument, "adapted_linear: rankExpert names an expert that does not exist");
  return Status::ok;
}

// Arguments dtx, dtPack, m, k, N, G, then n, R of each member, then sparse. Buffers x, gates?, rowToGate?, H? and,
// from `at` on, `stride` for each member: edge, packed, A?, B?, rankScale?, rankExpert?, ....
// In a gradient the edge may be absent, and the pack where no dx is wanted.
UM_INLINE Status read_group(const KernelArgs& args, int at, int stride, bool gradient, bool wants_pack, Group& g) {
  g = Group{static_cast<int>(args.i(0)), static_cast<int>(args.i(1)), {}, {}, args.buf[0], args.i(2), args.i(3),
            {}, {}, nullptr};
  if (!dtype_size(g.dtype_x) || !dtype_size(g.dtype_packed)) return bad_dtype();
  g.compute = compute_for(g.dtype_x, g.dtype_packed);
  g.rank_compute = compute_unpacked(g.dtype_x, g.dtype_packed);
  RankSpace& rank = g.rank;
  rank = RankSpace{0, args.i(4), args.i(5), args.ptr<float>(1), args.ptr<int32_t>(2), nullptr, nullptr,
                   args.i(12) != 0};
  const int64_t m = g.m, k = g.k;
  if (m < 0 || k < 1 || k >= INT32_MAX)
    return fail(Status::bad_argument, "adapted_linear: every size must be positive");
  if (rank.experts < 0 || rank.groups < 0 || !holds(args, 0, m, k, dtype_size(g.dtype_x)) ||
      !holds_or_absent(args, 1, rank.groups, rank.experts, 4) || !holds_or_absent(args, 2, 1, m, 4))
    return too_small();
  for (int i = 0; i < kMaxMembers; ++i) {
    Member& u = g.member[i];
    const int base = at + i * stride;
    u = Member{args.i(6 + 2 * i), args.i(7 + 2 * i), rank.ranks, args.buf[base], {}, args.ptr<float>(base + 2),
               args.ptr<float>(base + 3)};
    if (u.n < 0 || u.n >= INT32_MAX || u.ranks < 0 || u.ranks >= (1 << 20) || (u.n == 0 && u.ranks > 0))
      return fail(Status::bad_argument, "adapted_linear: sizes of a member out of range");
    if (u.n == 0) continue;
    const int64_t columns = gradient ? k : u.n, depth = gradient ? u.n : k;
    u.weight = Panels{args.ptr<uint32_t>(base + 1), columns, words_b(g.compute, depth)};
    rank.ranks += u.ranks;
    const bool edge_missing = gradient && !args.buf[base];
    if ((!edge_missing && !holds(args, base, m, u.n, dtype_size(g.dtype_x))) ||
        (wants_pack && !edge_missing && !args.has(base + 1, static_cast<int64_t>(panel_bytes(columns, u.weight.words)))) ||
        !holds(args, base + 2, u.ranks, k, 4) || !holds(args, base + 3, u.n, u.ranks, 4) ||
        !holds(args, base + 4, 1, u.ranks, 4) || !holds_or_absent(args, base + 5, 1, u.ranks, 4))
      return too_small();
    if (rank.gates && !args.buf[base + 5] && rank.experts != 1 && rank.experts < u.ranks)
      return fail(Status::bad_argument, "adapted_linear: ranks need rankExpert when there are fewer experts than ranks");
  }
  const int64_t ranks = rank.ranks;
  if (ranks == 0) return Status::ok;
  if (!holds(args, 3, m, ranks, 4)) return too_small();
  const int64_t a_floats = product(ranks, k);
  if (a_floats >= INT64_MAX / 16) return too_small();
  auto* scale = static_cast<float*>(scratch(kSlotRanks, static_cast<size_t>(2 * ranks + a_floats) * 4));
  if (!scale) return no_scratch();
  auto* expert = reinterpret_cast<int32_t*>(scale + ranks);
  float* a = scale + 2 * ranks;
  const bool alone = ranks == g.member[0].ranks;
  for (int i = 0; i < kMaxMembers; ++i) {
    const Member& u = g.member[i];
    if (u.ranks == 0) continue;
    const auto* own = args.ptr<int32_t>(at + i * stride + 5);
    for (int64_t j = 0; j < u.ranks; ++j)
      expert[u.first + j] = own ? own[j] : rank.experts == 1 ? 0 : static_cast<int32_t>(j);
    __builtin_memcpy(scale + u.first, args.buf[at + i * stride + 4], static_cast<size_t>(u.ranks) * 4);
    if (!alone) __builtin_memcpy(a + u.first * k, u.a, static_cast<size_t>(u.ranks * k) * 4);
  }
  rank.rank_scale = scale;
  rank.rank_expert = expert;
  g.a = alone ? g.member[0].a : a;
  return rank.gates ? check_gates(g) : Status::ok;
}

// Its frozen weights for a gradient or a product of all rows (core.h).
UM_INLINE void widen_group(Group& g, bool gradient) {
  Weight weights[kMaxMembers];
  int count = 0;
  for (Member& u : g.member)
    if (u.n && u.weight.data && (u.edge || !gradient)) weights[count++] = Weight{&u.weight, gradient ? u.n : g.k};
  if (count) widen_once(g.compute, weights, count, g.m);
}

// What rank space is entered and left by: A of all members as one operand, B of each. A gradient enters by B
// and leaves by A.
struct AdapterPanels {
  Panels shared;
  Panels expand[kMaxMembers];
};

struct AdapterSizes {
  size_t bytes, expand_at[kMaxMembers];
};

// Shapes of the panels for `counts` ranks of each member, `count` in all.
UM_INLINE AdapterSizes size_adapters(const Group& g, bool gradient, const int64_t* counts, int64_t count,
                                     AdapterPanels& panels) {
  const Compute c = g.rank_compute;
  panels.shared = gradient ? Panels{nullptr, g.k, words_b(c, count)} : Panels{nullptr, count, words_b(c, g.k)};
  AdapterSizes sizes{panel_bytes(panels.shared.n, panels.shared.words), {}};
  for (int i = 0; i < kMaxMembers; ++i) {
    const int64_t n = g.member[i].n;
    panels.expand[i] = gradient ? Panels{nullptr, counts[i], words_b(c, n)} : Panels{nullptr, n, words_b(c, counts[i])};
    sizes.expand_at[i] = sizes.bytes;
    if (counts[i]) sizes.bytes += panel_bytes(panels.expand[i].n, panels.expand[i].words);
  }
  return sizes;
}

UM_INLINE void place_adapters(AdapterPanels& panels, const AdapterSizes& sizes, uint32_t* data) {
  panels.shared.data = data;
  for (int i = 0; i < kMaxMembers; ++i) panels.expand[i].data = data + sizes.expand_at[i] / 4;
}

// All ranks of all members, in one parallel loop over the panels of every operand.
UM_INLINE bool interleave_adapters(const Group& g, bool gradient, AdapterPanels& panels) {
  const int64_t ranks = g.rank.ranks;
  int64_t counts[kMaxMembers];
  for (int i = 0; i < kMaxMembers; ++i) counts[i] = g.member[i].ranks;
  const AdapterSizes sizes = size_adapters(g, gradient, counts, ranks, panels);
  auto* data = static_cast<uint32_t*>(scratch(kSlotPanels, sizes.bytes));
  if (!data) return false;
  place_adapters(panels, sizes, data);
  struct {
    uint32_t* out;
    Source source;
    int64_t n, k, first;
  } part[kMaxMembers + 1];
  const Source a{g.a, kF32, gradient ? 1 : g.k, gradient ? g.k : 1};
  part[0] = {data, a, panels.shared.n, gradient ? ranks : g.k, 0};
  int parts = 1;
  int64_t total = panel_count(panels.shared.n), elements = ranks * g.k;
  for (int i = 0; i < kMaxMembers; ++i) {
    const Member& u = g.member[i];
    if (u.ranks == 0) continue;
    part[parts++] = {data + sizes.expand_at[i] / 4, Source{u.b, kF32, gradient ? 1 : u.ranks, gradient ? u.ranks : 1},
                     panels.expand[i].n, gradient ? u.n : u.ranks, total};
    total += panel_count(panels.expand[i].n);
    elements += u.n * u.ranks;
  }
  const bool pairs = pairs_in_b(g.rank_compute);
  parallel(total, larger(1, 12288 * total / larger(elements, 1)), [&](int64_t begin, int64_t end) {
    for (int i = 0; i < parts; ++i) {
      const int64_t first = larger(begin - part[i].first, 0);
      const int64_t last = smaller(end - part[i].first, panel_count(part[i].n));
      if (first < last) interleave_panels(part[i].out, part[i].source, part[i].n, part[i].k, pairs, first, last);
    }
  });
  return true;
}

// out = scale * x for one row of rank space.
UM_INLINE void scale_row(const float* x, const float* scale, int64_t n, float* out) {
  each_vector(0, n, [=](int64_t i, int k) UM_BODY { put(out + i, get(x + i, k) * get(scale + i, k), k); });
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
