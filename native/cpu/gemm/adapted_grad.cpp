// adapted_linear_grad [x, gates?, rowToGate?, H?, dx?, dGates?,
//                      then three times dy?, packedT?, A?, B?, rankScale?, rankExpert?, dA?, dB?]
//                     (dtx, dtPack, m, k, N, G, then three times n, R, then beta)
//   dZ = dy B;  dH = scale * dZ;  dx = sum of dy W + dH A + beta dx;  dA = dHT x;  dB = dyT Z;
//   dGates[g, e] = sum over rows t of g and ranks j of e of rankScale[j] dZ[t, j] H[t, j]
// The first pass goes over blocks of rows like the forward, and dx is written once for all members; dA
// and dB are long sums over rows, split by columns. Gate gradients are kept per row and added in row order.
#include "cpu/gemm/rank_space.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kFirst = 6, kStride = 8;

struct BackwardJob {
  const Group& group;
  Panels up;
  const float* h;
  float *dh, *z, *dgate_rows;  // [m, ranks], [m, ranks], [m, experts]; the last two may be null
  Output dx;                   // data may be null
  int64_t block;
  size_t staged_bytes, staged_at[kMaxMembers];
  bool failed;
};

void rank_rows(const BackwardJob& job, int64_t row, int64_t rows, float* scale) {
  const RankSpace& rank = job.group.rank;
  const int64_t ranks = rank.ranks;
  for (int64_t t = row; t < row + rows; ++t) {
    if (t == row || rank.changes_at(t)) rank.scale_of(t, scale);
    float* dh = job.dh + t * ranks;
    const float* h = job.h + t * ranks;
    if (job.dgate_rows) {
      float* dgate = job.dgate_rows + t * rank.experts;
      for (int64_t e = 0; e < rank.experts; ++e) dgate[e] = 0.0f;
      for (int64_t j = 0; j < ranks; ++j) dgate[rank.rank_expert[j]] += rank.rank_scale[j] * dh[j] * h[j];
    }
    if (job.z) scale_row(h, scale, ranks, job.z + t * ranks);
    scale_row(dh, scale, ranks, dh);
  }
}

// dZ of one member, into its columns of dh; zero where the member got no gradient.
void enter_rank_space(const BackwardJob& job, const Member& u, const uint32_t* staged, int64_t row, int64_t rows) {
  const Group& g = job.group;
  const int64_t ranks = g.rank.ranks;
  if (u.edge) {
    const Output dz{job.dh + u.first, kF32, ranks, nullptr, 1.0f, 0.0f};
    const Product down{g.rank_compute, staged, words_a(g.compute, u.n), &u.expand};
    multiply_block(&down, 1, row, rows, 0, panel_count(u.ranks), dz);
  } else {
    for (int64_t t = row; t < row + rows; ++t)
      __builtin_memset(job.dh + t * ranks + u.first, 0, static_cast<size_t>(u.ranks) * 4);
  }
}

void backward_block(const BackwardJob& job, int64_t row, char* staged, float* scale, uint32_t* staged_dh) {
  const Group& g = job.group;
  const int64_t rows = smaller(job.block, g.m - row), ranks = g.rank.ranks;
  Product products[kMaxMembers + 1];
  int count = 0;
  for (int i = 0; i < kMaxMembers; ++i) {
    const Member& u = g.member[i];
    if (u.n == 0) continue;
    auto* own = reinterpret_cast<uint32_t*>(staged + job.staged_at[i]);
    if (u.edge) {
      interleave_rows(own, Source{u.edge, g.dtype_x, u.n, 1}, row, rows, kTileRows, u.n, g.compute);
      products[count++] = Product{g.compute, own, words_a(g.compute, u.n), &u.weight};
    }
    if (u.ranks) enter_rank_space(job, u, own, row, rows);
  }
  if (ranks) rank_rows(job, row, rows, scale);
  if (!job.dx.data || count == 0) return;
  if (ranks) {
    interleave_rows(staged_dh, Source{job.dh, kF32, ranks, 1}, row, rows, kTileRows, ranks, g.rank_compute);
    products[count++] = Product{g.rank_compute, staged_dh, words_a(g.rank_compute, ranks), &job.up};
  }
  multiply_block(products, count, row, rows, 0, panel_count(g.k), job.dx);
}

void backward_range(void* context, int64_t begin, int64_t end, int) {
  BackwardJob& job = *static_cast<BackwardJob*>(context);
  const Group& g = job.group;
  const size_t scale_bytes = (static_cast<size_t>(g.rank.ranks) * 4 + 63) / 64 * 64;
  auto* staged = static_cast<char*>(scratch(kSlotStagedRows, job.staged_bytes));
  auto* scale = static_cast<float*>(
      scratch(kSlotBlock, scale_bytes + staged_bytes(job.block, words_a(g.rank_compute, g.rank.ranks))));
  if (!staged || !scale) {
    __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
    return;
  }
  auto* staged_dh = reinterpret_cast<uint32_t*>(reinterpret_cast<char*>(scale) + scale_bytes);
  for (int64_t block = begin; block < end; ++block)
    backward_block(job, block * job.block, staged, scale, staged_dh);
}

void sum_gates(const BackwardJob& job, float* dgates) {
  const RankSpace& rank = job.group.rank;
  for (int64_t i = 0; i < rank.groups * rank.experts; ++i) dgates[i] = 0.0f;
  for (int64_t t = 0; t < job.group.m; ++t) {
    float* out = dgates + rank.group(t) * rank.experts;
    for (int64_t e = 0; e < rank.experts; ++e) out[e] += job.dgate_rows[t * rank.experts + e];
  }
}

// dA of all members is one long sum, so that x is interleaved once.
Status adapter_gradients(const KernelArgs& args, const BackwardJob& job) {
  const Group& g = job.group;
  const int64_t ranks = g.rank.ranks;
  bool wants_a = false;
  Status status = Status::ok;
  for (int i = 0; i < kMaxMembers && status == Status::ok; ++i) {
    const Member& u = g.member[i];
    const int base = kFirst + i * kStride;
    if (u.ranks == 0 || !u.edge) continue;
    wants_a = wants_a || args.buf[base + 6];
    if (args.buf[base + 7])
      status = multiply_tall(g.rank_compute, job.z + u.first, ranks, u.ranks, u.edge, g.dtype_x, u.n, g.m,
                             args.ptr<float>(base + 7), true);
  }
  if (!wants_a || status != Status::ok) return status;
  auto* da = static_cast<float*>(scratch(kSlotPanels, static_cast<size_t>(ranks * g.k) * 4));
  if (!da) return no_scratch();
  status = multiply_tall(g.rank_compute, job.dh, ranks, ranks, args.buf[0], g.dtype_x, g.k, g.m, da, false);
  for (int i = 0; i < kMaxMembers && status == Status::ok; ++i) {
    const Member& u = g.member[i];
    void* out = args.buf[kFirst + i * kStride + 6];
    if (u.ranks && u.edge && out) __builtin_memcpy(out, da + u.first * g.k, static_cast<size_t>(u.ranks * g.k) * 4);
  }
  return status;
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
  bool wants_z = false, any = false;
  int64_t depth = 0;
  for (int i = 0; i < kMaxMembers; ++i) {
    const Member& u = group.member[i];
    const int base = kFirst + i * kStride;
    if (!holds_or_absent(args, base + 6, u.ranks, k, 4) || !holds_or_absent(args, base + 7, u.n, u.ranks, 4))
      return too_small();
    wants_z = wants_z || args.buf[base + 7];
    depth += u.n;
    any = any || (u.n && u.edge);
  }
  if (!any) return fail(Status::bad_argument, "adapted_linear_grad: no member has a gradient");
  const size_t floats = static_cast<size_t>(larger(m, 1)) * static_cast<size_t>(2 * ranks + (dgates ? group.rank.experts : 0));
  auto* rows = static_cast<float*>(scratch(kSlotRows, floats * 4 + 4));
  if (!rows) return no_scratch();
  float* z = rows + m * ranks;
  BackwardJob job{group,
                  {},
                  args.ptr<float>(3),
                  rows,
                  wants_z ? z : nullptr,
                  dgates ? z + m * ranks : nullptr,
                  Output{args.buf[4], group.dtype_x, k, nullptr, 1.0f, args.f(12)},
                  block_rows(group.compute, m, depth, kWantedRowBlocks),
                  0,
                  {},
                  false};
  for (int i = 0; i < kMaxMembers; ++i) {
    const Member& u = group.member[i];
    job.staged_at[i] = job.staged_bytes;
    if (u.edge && u.n) job.staged_bytes += (staged_bytes(job.block, words_a(group.compute, u.n)) + 63) / 64 * 64;
  }
  if (ranks && !interleave_adapters(group, true, job.up)) return no_scratch();
  if (m > 0) parallel_for(ceil_div(m, job.block), 1, backward_range, &job);
  if (job.failed) return no_scratch();
  if (dgates) sum_gates(job, dgates);
  return adapter_gradients(args, job);
}

}  // namespace

void register_adapted_grad(KernelTable& table) { table.fn[k_adapted_linear_grad] = adapted_linear_grad; }

}  // namespace unimoer::UNIMOER_ISA_NS
