// What the adapted linear's forward and gradient share: the per-row scale of rank space,
// scale[t, j] = rankScale[j] * gates[rowToGate[t], rankExpert[j]].
#pragma once
#include "cpu/gemm/core/core.h"
#include "cpu/simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kSlotPanels = 7, kSlotBlock = 6, kSlotStagedRows = 4;
constexpr int64_t kWantedRowBlocks = 24;

struct RankSpace {
  int64_t ranks, experts, groups;
  const float* gates;          // [groups, experts] or null
  const int32_t* row_to_gate;  // [rows] or null: one group for all rows, or one per row
  const float* rank_scale;     // [ranks]
  const int32_t* rank_expert;  // [ranks] or null: one expert, or one per rank

  UM_INLINE int64_t group(int64_t row) const {
    return row_to_gate ? row_to_gate[row] : groups == 1 ? 0 : row;
  }
  UM_INLINE int64_t expert(int64_t rank) const {
    return rank_expert ? rank_expert[rank] : experts == 1 ? 0 : rank;
  }
  UM_INLINE void scale_of(int64_t row, float* scale) const {
    for (int64_t j = 0; j < ranks; ++j)
      scale[j] = gates ? rank_scale[j] * gates[group(row) * experts + expert(j)] : rank_scale[j];
  }
  // Whether `row` needs another scale than the row before it.
  UM_INLINE bool changes_at(int64_t row) const { return gates && group(row) != group(row - 1); }
};

// Buffers at `first`: gates?, rowToGate?, rankScale, rankExpert?.
Status read_rank_space(const KernelArgs& args, int first, int64_t rows, int64_t ranks, int64_t experts, int64_t groups,
                       RankSpace& out) {
  out = RankSpace{ranks,
                  experts,
                  groups,
                  args.ptr<const float>(first),
                  args.ptr<const int32_t>(first + 1),
                  args.ptr<const float>(first + 2),
                  args.ptr<const int32_t>(first + 3)};
  if (ranks < 0 || experts < 0 || groups < 0 || !holds_or_absent(args, first, groups, experts, 4) ||
      !holds_or_absent(args, first + 1, 1, rows, 4) || !holds(args, first + 2, 1, ranks, 4) ||
      !holds_or_absent(args, first + 3, 1, ranks, 4))
    return too_small();
  if (!out.gates) return Status::ok;
  if (!out.row_to_gate && groups != 1 && groups < rows)
    return fail(Status::bad_argument, "adapted_linear: rows need rowToGate when there are fewer gate rows than rows");
  if (!out.rank_expert && experts != 1 && experts < ranks)
    return fail(Status::bad_argument, "adapted_linear: ranks need rankExpert when there are fewer experts than ranks");
  if (rows > 0 && (groups < 1 || experts < 1)) return too_small();
  for (int64_t t = 0; out.row_to_gate && t < rows; ++t)
    if (out.row_to_gate[t] < 0 || out.row_to_gate[t] >= groups)
      return fail(Status::bad_argument, "adapted_linear: rowToGate names a gate row that does not exist");
  for (int64_t j = 0; out.rank_expert && j < ranks; ++j)
    if (out.rank_expert[j] < 0 || out.rank_expert[j] >= experts)
      return fail(Status::bad_argument, "adapted_linear: rankExpert names an expert that does not exist");
  return Status::ok;
}

// Adapters multiply in f32, unless both the activations and the frozen weight are bf16.
UM_INLINE Compute rank_compute(int dtype_x, int dtype_packed) {
  return dtype_x == kBF16 && dtype_packed == kBF16 ? compute_for(kBF16, kBF16) : Compute::floats;
}

// Interleaves both adapter matrices side by side in the caller's scratch.
UM_INLINE bool interleave_adapters(Compute c, const Source& down, int64_t depth, const Source& up, int64_t columns,
                                   int64_t ranks, Panels& down_panels, Panels& up_panels) {
  down_panels = Panels{nullptr, ranks, words_b(c, depth)};
  up_panels = Panels{nullptr, columns, words_b(c, ranks)};
  const size_t first = panel_bytes(ranks, down_panels.words), second = panel_bytes(columns, up_panels.words);
  auto* data = static_cast<uint32_t*>(scratch(kSlotPanels, first + second));
  if (!data) return false;
  interleave_panels_parallel(data, down, ranks, depth, pairs_in_b(c));
  interleave_panels_parallel(data + first / 4, up, columns, ranks, pairs_in_b(c));
  down_panels.data = data;
  up_panels.data = data + first / 4;
  return true;
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
