// adapted_linear [x, gates?, rowToGate?, H?, then three times
//                 y?, packed?, A?, B?, rankScale?, rankExpert?, bias?, residual?]
//                (dtx, dtPack, m, k, N, G, then three times n, R, then sparse)
//   H = x AT;  Z = scale * H;  y = x WT + bias + Z BT + residual   for each member; n = 0 where there is none
// One pass over blocks of rows: x is read (or interleaved) once for every W and A, H [m, sum of R] and Z
// stay in cache, and the expansion by B is added before y is written. With sparse a gate that is 0 takes no gradient:
// its ranks may be left out, and the row of H then begins with the active ones (rank_segments.h).
#include "cpu/gemm/rank_segments.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kFirst = 4, kStride = 8;

struct ForwardJob {
  const Group& group;
  const Cut& cut;
  AdapterPanels panels;
  float* h;
  const float* bias[kMaxMembers];
  const void* residual[kMaxMembers];
  bool failed;
};

void forward_block(const ForwardJob& job, const Block& b, const AdapterPanels& panels, uint32_t* staged, float* z,
                   float* scale, uint32_t* staged_z) {
  const Group& g = job.group;
  const Segment& s = job.cut.segment[b.segment];
  Product x = rows_of(g.compute, g.source(), b.row, b.rows, g.k, &panels.shared, staged);
  if (s.count) {
    const Output h{job.h, kF32, g.rank.ranks, nullptr, 1.0f, 0.0f};
    x.compute = g.rank_compute;
    multiply_block(&x, 1, b.row, b.rows, 0, panel_count(s.count), h);
    for (int64_t i = 0; i < b.rows; ++i) {
      if (i == 0 || g.rank.changes_at(b.row + i)) g.rank.scale_of(b.row + i, s.ranks, s.count, scale);
      scale_row(job.h + (b.row + i) * g.rank.ranks, scale, s.count, z + i * s.count);
    }
  }
  for (int i = 0; i < kMaxMembers; ++i) {
    const Member& u = g.member[i];
    if (u.n == 0) continue;
    Product products[2] = {{g.compute, x.a, x.a_words, &u.weight, x.direct}, {}};
    if (s.counts[i]) {
      interleave_rows(staged_z, Source{z + s.first[i], kF32, s.count, 1}, 0, b.rows, kTileRows, s.counts[i], g.rank_compute);
      products[1] = Product{g.rank_compute, staged_z, words_a(g.rank_compute, s.counts[i]), &panels.expand[i]};
    }
    const Output y{u.edge, g.dtype_x, u.n, job.bias[i], 1.0f, 0.0f, job.residual[i]};
    multiply_block(products, s.counts[i] ? 2 : 1, b.row, b.rows, 0, panel_count(u.n), y);
  }
}

void forward_range(void* context, int64_t begin, int64_t end, int) {
  ForwardJob& job = *static_cast<ForwardJob*>(context);
  const Group& g = job.group;
  const int64_t rows = job.cut.block_rows, ranks = job.cut.ranks, floats = (rows + 1) * ranks;
  auto* staged = static_cast<uint32_t*>(scratch(kSlotStagedRows, rows_bytes(g.compute, g.source(), rows, g.k)));
  auto* z = static_cast<float*>(
      scratch(kSlotBlock, static_cast<size_t>(floats) * 4 + staged_bytes(rows, words_a(g.rank_compute, ranks))));
  bool fine = staged && z;
  AdapterPanels panels;
  for (int64_t i = begin; i < end && fine; ++i) {
    const Block& b = job.cut.block[i];
    fine = pick_adapters(g, false, job.cut.segment[b.segment], job.panels, panels);
    if (fine) forward_block(job, b, panels, staged, z, z + rows * ranks, reinterpret_cast<uint32_t*>(z + floats));
  }
  if (!fine) __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
}

Status adapted_linear(const KernelArgs& args) {
  Group group;
  const Status status = read_group(args, kFirst, kStride, false, true, group);
  if (status != Status::ok) return status;
  Cut cut;
  ForwardJob job{group, cut, {}, args.ptr<float>(3), {}, {}, false};
  for (int i = 0; i < kMaxMembers; ++i) {
    const int bias = kFirst + i * kStride + 6;
    const int64_t n = group.member[i].n;
    job.bias[i] = args.ptr<float>(bias);
    job.residual[i] = args.buf[bias + 1];
    if (!holds_or_absent(args, bias, 1, n, 4) || !holds_or_absent(args, bias + 1, group.m, n, dtype_size(group.dtype_x)))
      return too_small();
  }
  if (group.m == 0) return Status::ok;
  widen_group(group, false);
  const int64_t block = block_rows(group.compute, group.m, group.k, kWantedRowBlocks);
  if (!cut_rows(group, block, block, cut)) return no_scratch();
  if (group.rank.ranks && !interleave_adapters(group, false, job.panels)) return no_scratch();
  parallel_for(cut.blocks, 1, forward_range, &job);
  return job.failed ? no_scratch() : Status::ok;
}

}  // namespace

void register_adapted(KernelTable& table) { table.fn[k_adapted_linear] = adapted_linear; }

}  // namespace unimoer::UNIMOER_ISA_NS
