// adapted_linear [x, packed, bias?, A, B, gates?, rowToGate?, rankScale, rankExpert?, y, H](dtx, dtPack, m, n, k, R, N, G)
//   H = x AT;  Z = scale * H;  y = x WT + bias + Z BT
// One pass over blocks of rows: x is interleaved once for W and A, H and Z stay in cache, and the
// expansion by B is added before y is written.
#include "cpu/gemm/rank_space.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

struct ForwardJob {
  Compute compute, rank_compute;
  int64_t m, k, block;
  Source x;
  Panels weight, down, up;
  RankSpace rank;
  float* h;
  Output y;
  bool failed;
};

void forward_block(ForwardJob& job, int64_t row, uint32_t* staged, float* z, float* scale, uint32_t* staged_z) {
  const int64_t rows = smaller(job.block, job.m - row), ranks = job.rank.ranks;
  const int64_t words = words_a(job.compute, job.k);
  interleave_rows(staged, job.x, row, rows, kTileRows, job.k, job.compute);
  const Output h{job.h, kF32, ranks, nullptr, 1.0f, 0.0f};
  multiply_block(job.rank_compute, staged, words, row, rows, job.down, 0, panel_count(ranks), h, nullptr);
  for (int64_t i = 0; i < rows; ++i) {
    if (i == 0 || job.rank.changes_at(row + i)) job.rank.scale_of(row + i, scale);
    const float* h_row = job.h + (row + i) * ranks;
    for (int64_t j = 0; j < ranks; ++j) z[i * ranks + j] = scale[j] * h_row[j];
  }
  interleave_rows(staged_z, Source{z, kF32, ranks, 1}, 0, rows, kTileRows, ranks, job.rank_compute);
  const Addend addend{job.rank_compute, staged_z, &job.up};
  multiply_block(job.compute, staged, words, row, rows, job.weight, 0, panel_count(job.weight.n), job.y, &addend);
}

void forward_range(void* context, int64_t begin, int64_t end, int) {
  ForwardJob& job = *static_cast<ForwardJob*>(context);
  const int64_t ranks = job.rank.ranks, floats = (job.block + 1) * ranks;
  auto* staged = static_cast<uint32_t*>(scratch(kSlotStagedRows, staged_bytes(job.block, words_a(job.compute, job.k))));
  auto* z = static_cast<float*>(scratch(
      kSlotBlock, static_cast<size_t>(floats) * 4 + staged_bytes(job.block, words_a(job.rank_compute, ranks))));
  if (!staged || !z) {
    __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
    return;
  }
  float* scale = z + job.block * ranks;
  for (int64_t block = begin; block < end; ++block)
    forward_block(job, block * job.block, staged, z, scale, reinterpret_cast<uint32_t*>(z + floats));
}

Status adapted_linear(const KernelArgs& args) {
  const int dtx = static_cast<int>(args.i(0)), dtype = static_cast<int>(args.i(1));
  const int64_t m = args.i(2), n = args.i(3), k = args.i(4), ranks = args.i(5);
  if (!dtype_size(dtx) || !dtype_size(dtype)) return bad_dtype();
  const Compute c = compute_for(dtx, dtype), rc = rank_compute(dtx, dtype);
  if (m < 0 || n < 1 || k < 1 || n >= INT32_MAX || k >= INT32_MAX || ranks < 1 || ranks >= INT32_MAX)
    return fail(Status::bad_argument, "adapted_linear: every size must be positive");
  if (!holds(args, 0, m, k, dtype_size(dtx)) || !args.has(1, static_cast<int64_t>(panel_bytes(n, words_b(c, k)))) ||
      !holds_or_absent(args, 2, 1, n, 4) || !holds(args, 3, ranks, k, 4) || !holds(args, 4, n, ranks, 4) ||
      !holds(args, 9, m, n, dtype_size(dtx)) || !holds(args, 10, m, ranks, 4))
    return too_small();
  RankSpace rank;
  const Status status = read_rank_space(args, 5, m, ranks, args.i(6), args.i(7), rank);
  if (status != Status::ok || m == 0) return status;
  ForwardJob job{c,
                 rc,
                 m,
                 k,
                 block_rows(c, m, k, kWantedRowBlocks),
                 Source{args.buf[0], dtx, k, 1},
                 Panels{args.ptr<uint32_t>(1), n, words_b(c, k)},
                 {},
                 {},
                 rank,
                 args.ptr<float>(10),
                 Output{args.buf[9], dtx, n, args.ptr<float>(2), 1.0f, 0.0f},
                 false};
  const Source down{args.buf[3], kF32, k, 1}, up{args.buf[4], kF32, ranks, 1};
  if (!interleave_adapters(rc, down, k, up, n, ranks, job.down, job.up)) return no_scratch();
  parallel_for(ceil_div(m, job.block), 1, forward_range, &job);
  return job.failed ? no_scratch() : Status::ok;
}

}  // namespace

void register_adapted(KernelTable& table) { table.fn[k_adapted_linear] = adapted_linear; }

}  // namespace unimoer::UNIMOER_ISA_NS
