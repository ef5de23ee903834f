// Gradients of A and B: sums over rows of (a few ranks) x (a row of x or dy). The ranks are staged block by block
// while dZ and dH are in cache; then tasks of some columns go through all passes in order, each adding the active
// ranks of its segment. A task owns its columns, so the order of a sum does not depend on threads.
#pragma once
#include "cpu/gemm/rank_segments.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int64_t kSumPanels = 3;   // panels of columns per task
constexpr int64_t kSumSteps = 128;  // words per pass, so that an interleaved panel stays in first-level cache

// One factor of ranks: dH of all members, or Z of one.
struct RankSum {
  int64_t ranks;       // 0 if the sum is not wanted
  int member;          // -1: of all members
  const void* q;       // rows of x or dy
  int64_t n;
  float* out[kMaxMembers];  // of all members: [ranks of i, n] of each, or null; of one: out[0] [n, ranks]
  int64_t first_task;
};

struct RankSums {
  const Group& group;
  const Cut& cut;
  RankSum sum[kMaxMembers + 1];
  int64_t pass_words;  // staged words of a pass, with room for the largest
  uint32_t* staged;
  bool failed;
};

UM_INLINE int64_t sum_pass_rows(Compute c) { return kSumSteps * (pairs_in_b(c) ? 2 : 1); }

UM_INLINE int64_t ranks_in(const RankSum& sum, const Segment& s) {
  return sum.member < 0 ? s.count : s.counts[sum.member];
}

// Words of a pass before those of sum `i`.
UM_INLINE int64_t words_before(const RankSums& job, int i, const Segment& s, int64_t words) {
  int64_t lanes = 0;
  for (int j = 0; j < i; ++j) lanes += job.sum[j].ranks ? ranks_in(job.sum[j], s) : 0;
  return lanes * words;
}

// Words of temporary memory that stage_ranks needs for blocks of `rows` rows.
UM_INLINE size_t stage_bytes(Compute c, int64_t rows) { return staged_bytes(kTileRows, words_a(c, rows)); }

// Stages the block's values of sum `i`, `values` [rows, stride], into its place in the pass.
UM_INLINE void stage_ranks(const RankSums& job, int i, const Block& b, const float* values, int64_t stride,
                           uint32_t* temp) {
  const Compute c = job.group.rank_compute;
  const Segment& s = job.cut.segment[b.segment];
  const Pass& pass = job.cut.pass[b.pass];
  const int64_t ranks = ranks_in(job.sum[i], s), words = words_a(c, pass.rows), own = words_a(c, b.rows);
  if (ranks == 0) return;
  uint32_t* out = job.staged + b.pass * job.pass_words + words_before(job, i, s, words);
  const int64_t height = tile_height(ranks), before = words_a(c, b.row - pass.row);
  for (int64_t j = 0; j < ranks; j += height) {
    const int64_t lanes = smaller(height, ranks - j);
    interleave_rows(temp, Source{values, kF32, 1, stride}, j, lanes, lanes, b.rows, c);
    __builtin_memcpy(out + j * words + before * lanes, temp, static_cast<size_t>(own * lanes) * 4);
  }
}

void store_columns(const RankSums& job, const RankSum& sum, const float* sums, int64_t column, int64_t columns) {
  constexpr int64_t stride = kSumPanels * kPanel;
  if (sum.member >= 0) {
    for (int64_t j = 0; j < columns; ++j)
      for (int64_t r = 0; r < sum.ranks; ++r) sum.out[0][(column + j) * sum.ranks + r] = sums[r * stride + j];
    return;
  }
  for (int i = 0; i < kMaxMembers; ++i) {
    const Member& u = job.group.member[i];
    for (int64_t r = 0; sum.out[i] && r < u.ranks; ++r)
      __builtin_memcpy(sum.out[i] + r * sum.n + column, sums + (u.first + r) * stride, static_cast<size_t>(columns) * 4);
  }
}

void sum_columns(const RankSums& job, int index, int64_t task, uint32_t* panels, float* sums, float* compact) {
  constexpr int64_t stride = kSumPanels * kPanel;
  const RankSum& sum = job.sum[index];
  const Group& g = job.group;
  const Compute c = g.rank_compute;
  const int64_t column = task * stride, columns = smaller(stride, sum.n - column);
  __builtin_memset(sums, 0, static_cast<size_t>(sum.ranks * stride) * 4);
  for (int64_t i = 0; i < job.cut.passes; ++i) {
    const Pass& pass = job.cut.pass[i];
    const Segment& s = job.cut.segment[pass.segment];
    const int64_t ranks = ranks_in(sum, s), words = words_a(c, pass.rows);
    if (ranks == 0) continue;
    const bool whole = ranks == sum.ranks;
    const uint32_t* staged = job.staged + i * job.pass_words + words_before(job, index, s, words);
    const Source q{static_cast<const char*>(sum.q) + (pass.row * sum.n + column) * dtype_size(g.dtype_x), g.dtype_x, 1,
                   sum.n};
    sum_pass(c, Lanes{staged, words}, ranks, q, pass.rows, columns, panels, whole ? sums : compact, stride, whole);
    const int32_t* list = s.ranks + (sum.member < 0 ? 0 : s.first[sum.member]);
    const int64_t base = sum.member < 0 ? 0 : g.member[sum.member].first;
    for (int64_t j = 0; !whole && j < ranks; ++j) {
      float* out = sums + (list[j] - base) * stride;
      const float* in = compact + j * stride;
      each_vector(0, columns, [=](int64_t at, int k) UM_BODY { put(out + at, get(out + at, k) + get(in + at, k), k); });
    }
  }
  store_columns(job, sum, sums, column, columns);
}

void sum_tasks(void* context, int64_t begin, int64_t end, int) {
  RankSums& job = *static_cast<RankSums*>(context);
  constexpr int64_t stride = kSumPanels * kPanel;
  const int64_t words = words_b(job.group.rank_compute, job.cut.pass_rows);
  auto* sums = static_cast<float*>(
      scratch(kSlotSums, static_cast<size_t>((2 * job.group.rank.ranks + words) * stride) * 4));
  if (!sums) {
    __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
    return;
  }
  float* compact = sums + job.group.rank.ranks * stride;
  auto* panels = reinterpret_cast<uint32_t*>(compact + job.group.rank.ranks * stride);
  for (int64_t task = begin; task < end; ++task) {
    int i = 0;
    while (i < kMaxMembers && (!job.sum[i].ranks || task >= job.sum[i].first_task + ceil_div(job.sum[i].n, stride))) ++i;
    sum_columns(job, i, task - job.sum[i].first_task, panels, sums, compact);
  }
}

// Takes memory for the staged ranks and for `floats` more numbers.
UM_INLINE bool prepare_sums(RankSums& job, int64_t floats, float*& more) {
  int64_t lanes = 0;
  for (const RankSum& sum : job.sum)
    if (sum.ranks) lanes += sum.member < 0 ? job.cut.ranks : smaller(sum.ranks, job.cut.ranks);
  job.pass_words = lanes * words_a(job.group.rank_compute, job.cut.pass_rows);
  const int64_t words = job.pass_words * job.cut.passes;
  job.staged = static_cast<uint32_t*>(scratch(kSlotRows, static_cast<size_t>(words + floats) * 4 + 64));
  more = reinterpret_cast<float*>(job.staged + words);
  return job.staged != nullptr;
}

UM_INLINE Status run_sums(RankSums& job) {
  int64_t tasks = 0;
  for (RankSum& sum : job.sum) {
    sum.first_task = tasks;
    if (sum.ranks) tasks += ceil_div(sum.n, kSumPanels * kPanel);
  }
  if (tasks) parallel_for(tasks, 1, sum_tasks, &job);
  return job.failed ? no_scratch() : Status::ok;
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
