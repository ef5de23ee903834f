// adapted_linear_grad [x, gates?, rowToGate?, H?, dx?, dGates?,
//                      then three times dy?, packedT?, A?, B?, rankScale?, rankExpert?, dA?, dB?]
//                     (dtx, dtPack, m, k, N, G, then three times n, R, then sparse, beta)
//   dZ = dy B;  dH = scale * dZ;  dx = sum of dy W + dH A + beta dx;  dA = dHT x;  dB = dyT Z;
//   dGates[g, e] = sum over rows t of g and ranks j of e of rankScale[j] dZ[t, j] H[t, j]; with sparse, 0 where
//   the gate is 0. H as adapted_linear left it with the same gates and the same sparse.
// The first pass goes over blocks of rows like the forward, and dx is written once for all members; dA
// and dB are long sums over rows, split by columns. Gate gradients are kept per run of rows of a block that share
// their gates, and added in row order.
#include "cpu/gemm/rank_sums.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kFirst = 6, kStride = 8;

struct BackwardJob {
  const Group& group;
  const Cut& cut;
  RankSums& sums;
  AdapterPanels panels;
  const float* h;
  float* dgate_rows;  // [m, experts], in the first row of each run; may be null
  Output dx;          // data may be null
  size_t staged_bytes, staged_at[kMaxMembers];
  bool failed;
};

// Memory of one thread.
struct BlockSpace {
  float *dh, *z, *scale, *products;
  uint32_t *staged_dh, *stage;
};

void end_run(const RankSpace& rank, const Segment& s, int64_t row, const float* products, float* dgate) {
  for (int64_t e = 0; e < rank.experts; ++e) dgate[e] = 0.0f;
  const float* gate = rank.gates + rank.group(row) * rank.experts;
  for (int64_t c = 0; c < s.count; ++c) {
    const int32_t j = s.ranks[c], e = rank.rank_expert[j];
    if (!rank.sparse || gate[e] != 0.0f) dgate[e] += rank.rank_scale[j] * products[c];
  }
}

// From dZ in `dh` to dH, and Z from H.
void rank_rows(const BackwardJob& job, const Block& b, const BlockSpace& space) {
  const RankSpace& rank = job.group.rank;
  const Segment& s = job.cut.segment[b.segment];
  int64_t run = 0;
  for (int64_t i = 0; i < b.rows; ++i) {
    if (i == 0 || rank.changes_at(b.row + i)) {
      if (i && job.dgate_rows)
        end_run(rank, s, b.row + run, space.products, job.dgate_rows + (b.row + run) * rank.experts);
      rank.scale_of(b.row + i, s.ranks, s.count, space.scale);
      __builtin_memset(space.products, 0, static_cast<size_t>(s.count) * 4);
      run = i;
    }
    float* dh = space.dh + i * s.count;
    const float* h = job.h + (b.row + i) * rank.ranks;
    if (job.dgate_rows)
      each_vector(0, s.count, [=](int64_t j, int k) UM_BODY {
        put(space.products + j, fma(get(dh + j, k), get(h + j, k), get(space.products + j, k)), k);
      });
    scale_row(h, space.scale, s.count, space.z + i * s.count);
    scale_row(dh, space.scale, s.count, dh);
  }
  if (job.dgate_rows) end_run(rank, s, b.row + run, space.products, job.dgate_rows + (b.row + run) * rank.experts);
}

// dZ of one member, into its columns of dh; zero where the member got no gradient.
void enter_rank_space(const BackwardJob& job, int i, const Block& b, const AdapterPanels& panels, Product dy,
                      float* dh) {
  const Group& g = job.group;
  const Segment& s = job.cut.segment[b.segment];
  if (s.counts[i] == 0) return;
  if (g.member[i].edge) {
    const Output dz{dh + s.first[i], kF32, s.count, nullptr, 1.0f, 0.0f};
    dy.compute = g.rank_compute;
    dy.b = &panels.expand[i];
    multiply_block(&dy, 1, 0, b.rows, 0, panel_count(s.counts[i]), dz);
  } else {
    for (int64_t t = 0; t < b.rows; ++t)
      __builtin_memset(dh + t * s.count + s.first[i], 0, static_cast<size_t>(s.counts[i]) * 4);
  }
}

void backward_block(const BackwardJob& job, const Block& b, const AdapterPanels& panels, char* staged,
                    const BlockSpace& space) {
  const Group& g = job.group;
  const Segment& s = job.cut.segment[b.segment];
  Product products[kMaxMembers + 1];
  int count = 0;
  for (int i = 0; i < kMaxMembers; ++i) {
    const Member& u = g.member[i];
    if (u.n == 0) continue;
    auto* own = reinterpret_cast<uint32_t*>(staged + job.staged_at[i]);
    if (u.edge) {
      products[count++] = rows_of(g.compute, g.edge(u), b.row, b.rows, u.n, &u.weight, own);
    }
    enter_rank_space(job, i, b, panels, u.edge ? products[count - 1] : Product{}, space.dh);
  }
  if (s.count) {
    rank_rows(job, b, space);
    for (int i = 0; i <= kMaxMembers; ++i) {
      const RankSum& sum = job.sums.sum[i];
      if (sum.ranks)
        stage_ranks(job.sums, i, b, sum.member < 0 ? space.dh : space.z + s.first[sum.member], s.count, space.stage);
    }
  } else if (job.dgate_rows) {
    for (int64_t i = 0; i < b.rows * g.rank.experts; ++i) job.dgate_rows[b.row * g.rank.experts + i] = 0.0f;
  }
  if (!job.dx.data || count == 0) return;
  if (s.count) {
    interleave_rows(space.staged_dh, Source{space.dh, kF32, s.count, 1}, 0, b.rows, kTileRows, s.count, g.rank_compute);
    products[count++] = Product{g.rank_compute, space.staged_dh, words_a(g.rank_compute, s.count), &panels.shared};
  }
  multiply_block(products, count, b.row, b.rows, 0, panel_count(g.k), job.dx);
}

void backward_range(void* context, int64_t begin, int64_t end, int) {
  BackwardJob& job = *static_cast<BackwardJob*>(context);
  const Group& g = job.group;
  const int64_t rows = job.cut.block_rows, ranks = ceil_div(job.cut.ranks, 16) * 16;
  const size_t dh_bytes = (staged_bytes(rows, words_a(g.rank_compute, ranks)) + 63) / 64 * 64;
  const size_t floats = static_cast<size_t>((2 * rows + 2) * ranks);
  auto* staged = static_cast<char*>(scratch(kSlotStagedRows, job.staged_bytes));
  auto* memory = static_cast<float*>(scratch(kSlotBlock, floats * 4 + dh_bytes + stage_bytes(g.rank_compute, rows)));
  bool fine = staged && memory;
  AdapterPanels panels;
  for (int64_t i = begin; i < end && fine; ++i) {
    const Block& b = job.cut.block[i];
    auto* words = reinterpret_cast<uint32_t*>(memory + floats);
    const BlockSpace space{memory, memory + rows * ranks, memory + 2 * rows * ranks, memory + (2 * rows + 1) * ranks,
                           words, words + dh_bytes / 4};
    fine = pick_adapters(g, true, job.cut.segment[b.segment], job.panels, panels);
    if (fine) backward_block(job, b, panels, staged, space);
  }
  if (!fine) __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
}

void sum_gates(const BackwardJob& job, float* dgates) {
  const RankSpace& rank = job.group.rank;
  for (int64_t i = 0; i < rank.groups * rank.experts; ++i) dgates[i] = 0.0f;
  for (int64_t i = 0; i < job.cut.blocks; ++i) {
    const Block& b = job.cut.block[i];
    for (int64_t t = b.row; t < b.row + b.rows; ++t) {
      if (t > b.row && !rank.changes_at(t)) continue;
      float* out = dgates + rank.group(t) * rank.experts;
      for (int64_t e = 0; e < rank.experts; ++e) out[e] += job.dgate_rows[t * rank.experts + e];
    }
  }
}

// The sums that are wanted: dA of all members is one, so that x is interleaved once.
Status read_sums(const KernelArgs& args, RankSums& sums) {
  const Group& g = sums.group;
  RankSum& all = sums.sum[0];
  all = RankSum{0, -1, g.x, g.k, {}, 0};
  for (int i = 0; i < kMaxMembers; ++i) {
    const Member& u = g.member[i];
    const int base = kFirst + i * kStride;
    sums.sum[i + 1] = RankSum{0, i, u.edge, u.n, {args.ptr<float>(base + 7)}, 0};
    if (!holds_or_absent(args, base + 6, u.ranks, g.k, 4) || !holds_or_absent(args, base + 7, u.n, u.ranks, 4))
      return too_small();
    if (u.ranks == 0 || !u.edge) continue;
    all.out[i] = args.ptr<float>(base + 6);
    if (all.out[i]) all.ranks = g.rank.ranks;
    if (args.buf[base + 7]) sums.sum[i + 1].ranks = u.ranks;
  }
  return Status::ok;
}

Status adapted_linear_grad(const KernelArgs& args) {
  Group group;
  Status status = read_group(args, kFirst, kStride, true, args.buf[4] != nullptr, group);
  if (status != Status::ok) return status;
  const int64_t m = group.m, k = group.k, ranks = group.rank.ranks;
  float* dgates = args.ptr<float>(5);
  if (dgates && (!group.rank.gates || ranks == 0))
    return fail(Status::bad_argument, "adapted_linear_grad: dGates without gates");
  if (!holds_or_absent(args, 4, m, k, dtype_size(group.dtype_x)) ||
      (dgates && !holds(args, 5, group.rank.groups, group.rank.experts, 4)))
    return too_small();
  Cut cut;
  RankSums sums{group, cut, {}, 0, nullptr, false};
  status = read_sums(args, sums);
  if (status != Status::ok) return status;
  bool any = false;
  int64_t depth = 0;
  for (const Member& u : group.member) {
    depth += u.n;
    any = any || (u.n && u.edge);
  }
  if (!any) return fail(Status::bad_argument, "adapted_linear_grad: no member has a gradient");
  if (args.buf[4]) widen_group(group, true);
  const int64_t block = block_rows(group.compute, m, depth, kWantedRowBlocks);
  if (!cut_rows(group, block, larger(block, sum_pass_rows(group.rank_compute)), cut)) return no_scratch();
  BackwardJob job{group, cut, sums, {}, args.ptr<float>(3), nullptr,
                  Output{args.buf[4], group.dtype_x, k, nullptr, 1.0f, args.f(13)}, 0, {}, false};
  for (int i = 0; i < kMaxMembers; ++i) {
    const Member& u = group.member[i];
    job.staged_at[i] = job.staged_bytes;
    if (u.edge && u.n) job.staged_bytes += (rows_bytes(group.compute, group.edge(u), cut.block_rows, u.n) + 63) / 64 * 64;
  }
  float* gate_rows = nullptr;
  if (ranks && (!interleave_adapters(group, true, job.panels) ||
                !prepare_sums(sums, dgates ? m * group.rank.experts : 0, gate_rows)))
    return no_scratch();
  if (dgates) job.dgate_rows = gate_rows;
  if (m > 0) parallel_for(cut.blocks, 1, backward_range, &job);
  if (job.failed) return no_scratch();
  if (dgates) sum_gates(job, dgates);
  return run_sums(sums);
}

}  // namespace

void register_adapted_grad(KernelTable& table) { table.fn[k_adapted_linear_grad] = adapted_linear_grad; }

}  // namespace unimoer::UNIMOER_ISA_NS
