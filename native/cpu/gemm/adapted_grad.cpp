// adapted_linear_grad [dy, x, packedT, A, B, gates?, rowToGate?, rankScale, rankExpert?, H, dx?, dA?, dB?, dGates?]
//                     (dtx, dtPack, m, n, k, R, N, G)
//   dZ = dy B;  dH = scale * dZ;  dx = dy W + dH A;  dA = dHT x;  dB = dyT Z;
//   dGates[g, e] = sum over rows t of g and ranks j of e of rankScale[j] dZ[t, j] H[t, j]
// The first pass goes over blocks of rows like the forward; dA and dB are long sums over rows, split by
// columns. Gate gradients are kept per row and added in row order.
#include "cpu/gemm/rank_space.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kSlotRows = 3;

struct BackwardJob {
  Compute compute, rank_compute;
  int64_t m, n, block;
  Source dy;
  Panels weight, down, up;
  RankSpace rank;
  const float* h;
  float *dh, *z, *dgate_rows;  // [m, ranks], [m, ranks], [m, experts]; the last two may be null
  Output dx;                   // data may be null
  bool failed;
};

void rank_rows(BackwardJob& job, int64_t row, int64_t rows, float* scale) {
  const RankSpace& rank = job.rank;
  const int64_t ranks = rank.ranks;
  for (int64_t t = row; t < row + rows; ++t) {
    if (t == row || rank.changes_at(t)) rank.scale_of(t, scale);
    float* dh = job.dh + t * ranks;
    const float* h = job.h + t * ranks;
    if (job.dgate_rows) {
      float* dgate = job.dgate_rows + t * rank.experts;
      for (int64_t e = 0; e < rank.experts; ++e) dgate[e] = 0.0f;
      for (int64_t j = 0; j < ranks; ++j) dgate[rank.expert(j)] += rank.rank_scale[j] * dh[j] * h[j];
    }
    if (job.z)
      for (int64_t j = 0; j < ranks; ++j) job.z[t * ranks + j] = scale[j] * h[j];
    for (int64_t j = 0; j < ranks; ++j) dh[j] *= scale[j];
  }
}

void backward_range(void* context, int64_t begin, int64_t end, int) {
  BackwardJob& job = *static_cast<BackwardJob*>(context);
  const int64_t ranks = job.rank.ranks, words = words_a(job.compute, job.n);
  auto* staged = static_cast<uint32_t*>(scratch(kSlotStagedRows, staged_bytes(job.block, words)));
  auto* scale = static_cast<float*>(scratch(
      kSlotBlock, static_cast<size_t>(ranks) * 4 + staged_bytes(job.block, words_a(job.rank_compute, ranks))));
  if (!staged || !scale) {
    __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
    return;
  }
  auto* staged_dh = reinterpret_cast<uint32_t*>(scale + ranks);
  for (int64_t block = begin; block < end; ++block) {
    const int64_t row = block * job.block, rows = smaller(job.block, job.m - row);
    interleave_rows(staged, job.dy, row, rows, kTileRows, job.n, job.compute);
    const Output dz{job.dh, kF32, ranks, nullptr, 1.0f, 0.0f};
    multiply_block(job.rank_compute, staged, words, row, rows, job.down, 0, panel_count(ranks), dz, nullptr);
    rank_rows(job, row, rows, scale);
    if (!job.dx.data) continue;
    interleave_rows(staged_dh, Source{job.dh, kF32, ranks, 1}, row, rows, kTileRows, ranks, job.rank_compute);
    const Addend addend{job.rank_compute, staged_dh, &job.up};
    multiply_block(job.compute, staged, words, row, rows, job.weight, 0, panel_count(job.weight.n), job.dx, &addend);
  }
}

void sum_gates(const BackwardJob& job, float* dgates) {
  const RankSpace& rank = job.rank;
  for (int64_t i = 0; i < rank.groups * rank.experts; ++i) dgates[i] = 0.0f;
  for (int64_t t = 0; t < job.m; ++t) {
    float* out = dgates + rank.group(t) * rank.experts;
    for (int64_t e = 0; e < rank.experts; ++e) out[e] += job.dgate_rows[t * rank.experts + e];
  }
}

Status adapted_linear_grad(const KernelArgs& args) {
  const int dtx = static_cast<int>(args.i(0)), dtype = static_cast<int>(args.i(1));
  const int64_t m = args.i(2), n = args.i(3), k = args.i(4), ranks = args.i(5);
  if (!dtype_size(dtx) || !dtype_size(dtype)) return bad_dtype();
  const Compute c = compute_for(dtx, dtype), rc = rank_compute(dtx, dtype);
  if (m < 0 || n < 1 || k < 1 || n >= INT32_MAX || k >= INT32_MAX || ranks < 1 || ranks >= INT32_MAX)
    return fail(Status::bad_argument, "adapted_linear_grad: every size must be positive");
  const bool wants_dx = args.buf[10] != nullptr;
  if (!holds(args, 0, m, n, dtype_size(dtx)) || !holds(args, 1, m, k, dtype_size(dtx)) ||
      (wants_dx && !args.has(2, static_cast<int64_t>(panel_bytes(k, words_b(c, n))))) ||
      !holds(args, 3, ranks, k, 4) || !holds(args, 4, n, ranks, 4) || !holds(args, 9, m, ranks, 4) ||
      !holds_or_absent(args, 10, m, k, dtype_size(dtx)) || !holds_or_absent(args, 11, ranks, k, 4) ||
      !holds_or_absent(args, 12, n, ranks, 4))
    return too_small();
  RankSpace rank;
  Status status = read_rank_space(args, 5, m, ranks, args.i(6), args.i(7), rank);
  if (status != Status::ok) return status;
  float* dgates = args.ptr<float>(13);
  if (dgates && !rank.gates) return fail(Status::bad_argument, "adapted_linear_grad: dGates without gates");
  if (dgates && !holds(args, 13, rank.groups, rank.experts, 4)) return too_small();

  const size_t rows_floats = static_cast<size_t>(larger(m, 1)) * static_cast<size_t>(2 * ranks + (dgates ? rank.experts : 0));
  auto* rows = static_cast<float*>(scratch(kSlotRows, rows_floats * 4));
  if (!rows) return no_scratch();
  float* z = rows + m * ranks;
  BackwardJob job{c,
                  rc,
                  m,
                  n,
                  block_rows(c, m, n, kWantedRowBlocks),
                  Source{args.buf[0], dtx, n, 1},
                  Panels{args.ptr<uint32_t>(2), k, words_b(c, n)},
                  {},
                  {},
                  rank,
                  args.ptr<float>(9),
                  rows,
                  args.buf[12] ? z : nullptr,
                  dgates ? z + m * ranks : nullptr,
                  Output{args.buf[10], dtx, k, nullptr, 1.0f, 0.0f},
                  false};
  // Here B leads into rank space and A out of it.
  const Source down{args.buf[4], kF32, 1, ranks}, up{args.buf[3], kF32, 1, k};
  if (!interleave_adapters(rc, down, n, up, k, ranks, job.down, job.up)) return no_scratch();
  parallel_for(ceil_div(m, job.block), 1, backward_range, &job);
  if (job.failed) return no_scratch();
  if (dgates) sum_gates(job, dgates);
  if (args.buf[11]) status = multiply_tall(rc, job.dh, ranks, args.buf[1], dtx, k, m, args.ptr<float>(11), false);
  if (status == Status::ok && args.buf[12])
    status = multiply_tall(rc, z, ranks, args.buf[0], dtx, n, m, args.ptr<float>(12), true);
  return status;
}

}  // namespace

void register_adapted_grad(KernelTable& table) { table.fn[k_adapted_linear_grad] = adapted_linear_grad; }

}  // namespace unimoer::UNIMOER_ISA_NS
