#include "cpu/gemm/core/core.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kSlotStaged = 4, kSlotSums = 6;  // scratch slots of this file
constexpr int64_t kSteps = 128;                // words per pass, so that interleaved panels stay near
constexpr int64_t kMaxPanels = 3;              // of a task
constexpr int64_t kWantedTasks = 8;

struct TallJob {
  Compute compute;
  Source p, q;
  int64_t r, n, t, panels;
  const Output* out;
  bool failed;
};

Source from(const Source& s, int64_t lane, int64_t step) {
  Source part = s;
  part.data = static_cast<const char*>(s.data) + (lane * s.lane_stride + step * s.k_stride) * dtype_size(s.dtype);
  return part;
}

// The rows of p as sum_pass takes them: floats side by side, where they lie if they are, else interleaved as one tile;
// pairs in tiles.
Lanes lanes_of(const TallJob& job, const Source& p, int64_t length, uint32_t* staged) {
  const bool floats = job.compute == Compute::floats;
  if (floats && p.dtype == kF32 && p.lane_stride == 1) return Lanes{static_cast<const uint32_t*>(p.data), 1, p.k_stride};
  interleave_rows(staged, p, 0, job.r, floats ? job.r : tile_height(job.r), length, job.compute);
  return floats ? Lanes{staged, 1, job.r} : Lanes{staged, words_a(job.compute, length)};
}

// Some columns, through all passes over t in order.
void tall_columns(const TallJob& job, int64_t column, uint32_t* lanes, uint32_t* panels, float* sums) {
  const int64_t stride = job.panels * kPanel, columns = smaller(stride, job.n - column);
  const int64_t words = words_b(job.compute, job.t);
  for (int64_t w = 0; w < words; w += kSteps) {
    const int64_t per_word = pairs_in_b(job.compute) ? 2 : 1, t0 = w * per_word;
    const int64_t steps = smaller(kSteps, words - w), length = smaller(steps * per_word, job.t - t0);
    const Lanes p = lanes_of(job, from(job.p, 0, t0), length, lanes);
    sum_pass(job.compute, p, job.r, from(job.q, column, t0), length, columns, panels, sums, stride, w != 0);
  }
  for (int64_t p = 0; p < columns; p += kPanel)
    finish_block(sums + p, stride, 0, job.r, column + p, smaller(kPanel, columns - p), *job.out);
}

void tall_tasks(void* context, int64_t begin, int64_t end, int) {
  TallJob& job = *static_cast<TallJob*>(context);
  const int64_t wide = job.panels * kPanel;
  const size_t lane_bytes = (staged_bytes(job.r, 2 * kSteps) + 63) / 64 * 64;
  auto* staged = static_cast<char*>(scratch(kSlotStaged, lane_bytes + static_cast<size_t>(wide * kSteps) * 4));
  auto* sums = static_cast<float*>(scratch(kSlotSums, static_cast<size_t>(job.r * wide) * 4));
  if (!staged || !sums) {
    __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
    return;
  }
  auto* panels = reinterpret_cast<uint32_t*>(staged + lane_bytes);
  for (int64_t task = begin; task < end; ++task)
    tall_columns(job, task * wide, reinterpret_cast<uint32_t*>(staged), panels, sums);
}

}  // namespace

Status multiply_tall(Compute c, const Source& p, int64_t r, const Source& q, int64_t n, int64_t t, const Output& out) {
  if (r <= 0 || n <= 0) return Status::ok;
  const int64_t panels = smaller(kMaxPanels, ceil_div(panel_count(n), kWantedTasks));
  TallJob job{c, p, q, r, n, t, panels, &out, false};
  parallel_for(ceil_div(n, panels * kPanel), 1, tall_tasks, &job);
  return job.failed ? fail(Status::out_of_memory, "no scratch memory for a matrix product") : Status::ok;
}

}  // namespace unimoer::UNIMOER_ISA_NS
