// adapted_linear [x, gates?, rowToGate?, H?, then three times y?, packed?, A?, B?, rankScale?, rankExpert?, bias?]
//                (dtx, dtPack, m, k, N, G, then three times n, R)
//   H = x AT;  Z = scale * H;  y = x WT + bias + Z BT   for each member; n = 0 where there is none
// One pass over blocks of rows: x is interleaved once for every W and A, H [m, sum of R] and Z stay in
// cache, and the expansion by B is added before y is written.
#include "cpu/gemm/rank_space.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kFirst = 4, kStride = 7;

struct ForwardJob {
  const Group& group;
  Panels down;
  float* h;
  const float* bias[kMaxMembers];
  int64_t block;
  bool failed;
};

void forward_block(const ForwardJob& job, int64_t row, uint32_t* staged, float* z, float* scale, uint32_t* staged_z) {
  const Group& g = job.group;
  const int64_t rows = smaller(job.block, g.m - row), ranks = g.rank.ranks;
  const int64_t words = words_a(g.compute, g.k);
  interleave_rows(staged, Source{g.x, g.dtype_x, g.k, 1}, row, rows, kTileRows, g.k, g.compute);
  if (ranks) {
    const Output h{job.h, kF32, ranks, nullptr, 1.0f, 0.0f};
    const Product down{g.rank_compute, staged, words, &job.down};
    multiply_block(&down, 1, row, rows, 0, panel_count(ranks), h);
    for (int64_t i = 0; i < rows; ++i) {
      if (i == 0 || g.rank.changes_at(row + i)) g.rank.scale_of(row + i, scale);
      scale_row(job.h + (row + i) * ranks, scale, ranks, z + i * ranks);
    }
  }
  for (int i = 0; i < kMaxMembers; ++i) {
    const Member& u = g.member[i];
    if (u.n == 0) continue;
    Product products[2] = {{g.compute, staged, words, &u.weight}, {}};
    if (u.ranks) {
      interleave_rows(staged_z, Source{z + u.first, kF32, ranks, 1}, 0, rows, kTileRows, u.ranks, g.rank_compute);
      products[1] = Product{g.rank_compute, staged_z, words_a(g.rank_compute, u.ranks), &u.expand};
    }
    const Output y{u.edge, g.dtype_x, u.n, job.bias[i], 1.0f, 0.0f};
    multiply_block(products, u.ranks ? 2 : 1, row, rows, 0, panel_count(u.n), y);
  }
}

void forward_range(void* context, int64_t begin, int64_t end, int) {
  ForwardJob& job = *static_cast<ForwardJob*>(context);
  const Group& g = job.group;
  const int64_t ranks = g.rank.ranks, floats = (job.block + 1) * ranks;
  auto* staged = static_cast<uint32_t*>(scratch(kSlotStagedRows, staged_bytes(job.block, words_a(g.compute, g.k))));
  auto* z = static_cast<float*>(scratch(
      kSlotBlock, static_cast<size_t>(floats) * 4 + staged_bytes(job.block, words_a(g.rank_compute, ranks))));
  if (!staged || !z) {
    __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
    return;
  }
  float* scale = z + job.block * ranks;
  for (int64_t block = begin; block < end; ++block)
    forward_block(job, block * job.block, staged, z, scale, reinterpret_cast<uint32_t*>(z + floats));
}

Status adapted_linear(const KernelArgs& args) {
  Group group;
  const Status status = read_group(args, kFirst, kStride, false, true, group);
  if (status != Status::ok) return status;
  ForwardJob job{group, {}, args.ptr<float>(3), {}, 0, false};
  for (int i = 0; i < kMaxMembers; ++i) {
    const int bias = kFirst + i * kStride + 6;
    job.bias[i] = args.ptr<float>(bias);
    if (!holds_or_absent(args, bias, 1, group.member[i].n, 4)) return too_small();
  }
  if (group.m == 0) return Status::ok;
  if (group.rank.ranks && !interleave_adapters(group, false, job.down)) return no_scratch();
  job.block = block_rows(group.compute, group.m, group.k, kWantedRowBlocks);
  parallel_for(ceil_div(group.m, job.block), 1, forward_range, &job);
  return job.failed ? no_scratch() : Status::ok;
}

}  // namespace

void register_adapted(KernelTable& table) { table.fn[k_adapted_linear] = adapted_linear; }

}  // namespace unimoer::UNIMOER_ISA_NS
