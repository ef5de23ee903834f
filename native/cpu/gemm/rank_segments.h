// Rows of an adapted linear, cut where other ranks become active. A rank is inactive where its gate is 0: in
// a segment, a run of rows with the same active ranks, these alone are computed, side by side in the order of
// rank space ("compact"). Rows whose experts change too often, or use most ranks, form one segment with all ranks.
// The cut depends on shapes and gates only.
#pragma once
#include "cpu/gemm/rank_space.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int64_t kWantedRowBlocks = 48;
constexpr int64_t kLeastRows = 32;  // mean length of a segment that pays for picking its ranks
constexpr int64_t kUnit = 2;        // ranks become active in pairs, as bf16 operands hold them

struct Segment {
  int64_t row, rows;
  int64_t count;         // active ranks
  const int32_t* ranks;  // which they are, ascending
  int64_t first[kMaxMembers], counts[kMaxMembers];  // those of each member
};

struct Block {
  int32_t segment, pass;
  int64_t row, rows;
};

// Neighbouring blocks of a segment, summed over together in a gradient (rank_sums.h).
struct Pass {
  int64_t segment, row, rows;
};

struct Cut {
  Segment* segment;
  Block* block;
  Pass* pass;
  int64_t segments, blocks, passes;
  int64_t block_rows, pass_rows, ranks;  // largest of each
};

UM_INLINE bool same_experts(const RankSpace& rank, int64_t row, int64_t other) {
  const float* a = rank.gates + rank.group(row) * rank.experts;
  const float* b = rank.gates + rank.group(other) * rank.experts;
  if (a == b) return true;
  for (int64_t e = 0; e < rank.experts; ++e)
    if ((a[e] == 0.0f) != (b[e] == 0.0f)) return false;
  return true;
}

// Lists the active ranks of `row`, or every rank.
UM_INLINE void list_ranks(const Group& g, bool all, int64_t row, int32_t* list, Segment& s) {
  const RankSpace& rank = g.rank;
  const float* gate = all ? nullptr : rank.gates + rank.group(row) * rank.experts;
  s.ranks = list;
  s.count = 0;
  for (int i = 0; i < kMaxMembers; ++i) {
    const Member& u = g.member[i];
    s.first[i] = s.count;
    for (int64_t j = 0; j < u.ranks; j += kUnit) {
      const int64_t unit = smaller(kUnit, u.ranks - j);
      bool active = all;
      for (int64_t d = 0; d < unit && !active; ++d) active = gate[rank.rank_expert[u.first + j + d]] != 0.0f;
      for (int64_t d = 0; d < unit && active; ++d) list[s.count++] = static_cast<int32_t>(u.first + j + d);
    }
    s.counts[i] = s.count - s.first[i];
  }
}

// How many segments the active ranks make, or 0 if they are not worth it. Units of the members must fall
// together with those of the whole rank space.
UM_INLINE int64_t count_segments(const Group& g) {
  const RankSpace& rank = g.rank;
  if (!rank.sparse || !rank.gates || rank.ranks == 0) return 0;
  for (int i = 1; i < kMaxMembers; ++i)
    if (g.member[i].ranks && g.member[i].first % kUnit) return 0;
  int64_t count = 1;
  for (int64_t t = 1; t < g.m; ++t)
    if (rank.changes_at(t) && !same_experts(rank, t, t - 1) && ++count * kLeastRows > g.m) return 0;
  return count * kLeastRows > g.m ? 0 : count;
}

UM_INLINE int64_t pieces_of(const Segment& s, int64_t block) { return larger(1, (s.rows + block / 2) / block); }

// Cuts segments into blocks and joins blocks into passes of at most `pass_rows` rows where they can. False
// when there is no memory.
UM_INLINE bool cut_rows(const Group& g, int64_t block, int64_t pass_rows, Cut& cut) {
  const RankSpace& rank = g.rank;
  const int64_t wanted = count_segments(g), segments = larger(wanted, 1);
  const int64_t most = segments + 2 * ceil_div(g.m, block) + 2;
  const size_t bytes = static_cast<size_t>(segments) * (sizeof(Segment) + static_cast<size_t>(rank.ranks) * 4) +
                       static_cast<size_t>(most) * (sizeof(Block) + sizeof(Pass));
  auto* data = static_cast<char*>(scratch(kSlotCut, bytes));
  if (!data) return false;
  cut = Cut{reinterpret_cast<Segment*>(data), nullptr, nullptr, 0, 0, 0, 0, 0, 0};
  cut.block = reinterpret_cast<Block*>(cut.segment + segments);
  cut.pass = reinterpret_cast<Pass*>(cut.block + most);
  auto* list = reinterpret_cast<int32_t*>(cut.pass + most);
  int64_t active = 0;
  for (int64_t t = 0; wanted && t < g.m;) {
    Segment& s = cut.segment[cut.segments];
    list_ranks(g, false, t, list + cut.segments * rank.ranks, s);
    s.row = t++;
    while (t < g.m && (!rank.changes_at(t) || same_experts(rank, t, t - 1))) ++t;
    s.rows = t - s.row;
    active += s.rows * s.count;
    ++cut.segments;
  }
  if (!wanted || 4 * active > 3 * g.m * rank.ranks) {
    cut.segments = 1;
    list_ranks(g, true, 0, list, cut.segment[0]);
    cut.segment[0].row = 0;
    cut.segment[0].rows = g.m;
  }
  for (int64_t i = 0; i < cut.segments; ++i) {
    const Segment& s = cut.segment[i];
    cut.ranks = larger(cut.ranks, s.count);
    const int64_t even = ceil_div(ceil_div(s.rows, pieces_of(s, block)), kTileRows) * kTileRows;
    const int64_t piece = cut.segments == 1 ? block : even;
    for (int64_t row = 0; row < s.rows; row += piece) {
      const Block b{static_cast<int32_t>(i), 0, s.row + row, smaller(piece, s.rows - row)};
      if (row == 0 || cut.pass[cut.passes - 1].rows + b.rows > pass_rows) cut.pass[cut.passes++] = Pass{i, b.row, 0};
      Pass& pass = cut.pass[cut.passes - 1];
      pass.rows += b.rows;
      cut.block[cut.blocks] = b;
      cut.block[cut.blocks++].pass = static_cast<int32_t>(cut.passes - 1);
      cut.block_rows = larger(cut.block_rows, b.rows);
      cut.pass_rows = larger(cut.pass_rows, pass.rows);
    }
  }
  return true;
}

UM_INLINE int64_t panel_width(int64_t n, int64_t panel) { return n - panel * kPanel <= kLanes ? kLanes : kPanel; }

// The lanes that are listed, less `base`, as the first `count` of `out`.
UM_INLINE void pick_lanes(uint32_t* out, const Panels& from, const int32_t* list, int64_t base, int64_t count) {
  for (int64_t c = 0; c < count;) {
    const int64_t lane = list[c] - base, room = smaller(kLanes - lane % kLanes, kLanes - c % kLanes);
    int64_t n = 1;
    while (n < room && c + n < count && list[c + n] - base == lane + n) ++n;
    const int64_t read = panel_width(from.n, lane / kPanel), write = panel_width(count, c / kPanel);
    const auto* src = reinterpret_cast<const float*>(from.data + lane / kPanel * kPanel * from.words + lane % kPanel);
    auto* dst = reinterpret_cast<float*>(out + c / kPanel * kPanel * from.words + c % kPanel);
    for (int64_t s = 0; s < from.words; ++s)
      put(dst + s * write, get(src + s * read, static_cast<int>(n)), static_cast<int>(n));
    c += n;
  }
  const int64_t last = count / kPanel, used = count % kPanel, width = panel_width(count, last);
  for (int64_t s = 0; used && s < from.words; ++s)
    for (int64_t i = used; i < width; ++i) out[last * kPanel * from.words + s * width + i] = 0;
}

// The steps of the ranks that are listed, less `base`; a step holds `per_word` ranks.
UM_INLINE void pick_steps(uint32_t* out, const Panels& from, const int32_t* list, int64_t base, int64_t count,
                          int64_t per_word) {
  for (int64_t p = 0; p < panel_count(from.n); ++p) {
    const int64_t width = panel_width(from.n, p);
    const uint32_t* panel = from.data + p * kPanel * from.words;
    for (int64_t c = 0; c < count; c += per_word, out += width) {
      const uint32_t* step = panel + (list[c] - base) / per_word * width;
      for (int64_t i = 0; i < width; i += kLanes)
        store_int(reinterpret_cast<int32_t*>(out + i), load_int(reinterpret_cast<const int32_t*>(step + i)));
    }
  }
}

// Operands of the segment's ranks out of those of all ranks, in memory of the calling thread.
UM_INLINE bool pick_adapters(const Group& g, bool gradient, const Segment& s, const AdapterPanels& all,
                             AdapterPanels& own) {
  if (s.count == g.rank.ranks) {
    own = all;
    return true;
  }
  const AdapterSizes sizes = size_adapters(g, gradient, s.counts, s.count, own);
  auto* data = static_cast<uint32_t*>(scratch(kSlotPicked, sizes.bytes + 64));
  if (!data) return false;
  place_adapters(own, sizes, data);
  const int64_t per_word = pairs_in_b(g.rank_compute) ? 2 : 1;
  const auto pick = [&](const Panels& to, const Panels& from, bool lanes, const int32_t* list, int64_t base,
                        int64_t count) {
    auto* out = const_cast<uint32_t*>(to.data);
    if (lanes)
      pick_lanes(out, from, list, base, count);
    else
      pick_steps(out, from, list, base, count, per_word);
  };
  pick(own.shared, all.shared, !gradient, s.ranks, 0, s.count);
  for (int i = 0; i < kMaxMembers; ++i)
    pick(own.expand[i], all.expand[i], gradient, s.ranks + s.first[i], g.member[i].first, s.counts[i]);
  return true;
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
