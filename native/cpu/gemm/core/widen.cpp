#include "cpu/gemm/core/slices.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kSlotWidened = 8;
constexpr int64_t kManyRows = 128 * kTileRows;  // fewer are done before the weight has gone to memory and back
constexpr size_t kMostBytes = size_t{48} << 20;  // beyond it the weights would push all else out of the caches

struct WidenJob {
  const uint32_t* pairs;
  float* out;
  int64_t n, depth;
};

void widen_range(void* context, int64_t begin, int64_t end, int) {
  const WidenJob& job = *static_cast<const WidenJob*>(context);
  const int64_t words = words_b(Compute::wide, job.depth);
  for (int64_t p = begin; p < end; ++p) {
    const int vectors = job.n - p * kPanel <= kLanes ? 1 : 2;
    const uint32_t* pairs = job.pairs + p * kPanel * words;
    float* out = job.out + p * kPanel * job.depth;
    widen(pairs, job.depth / 2, vectors, out);
    // The last of an odd number of steps is half a word.
    for (int j = 0; job.depth % 2 && j < vectors; ++j) {
      const Vi pair = load_int(reinterpret_cast<const int32_t*>(pairs) + ((words - 1) * vectors + j) * kLanes);
      store(out + ((job.depth - 1) * vectors + j) * kLanes, (Vf)(pair << 16));
    }
  }
}

}  // namespace

void widen_once(Compute& c, const Weight* weights, int count, int64_t rows) {
  if (c != Compute::wide || rows < kManyRows) return;
  size_t bytes = 0;
  for (int i = 0; i < count; ++i) bytes += panel_bytes(weights[i].panels->n, weights[i].depth);
  if (bytes > kMostBytes) return;
  auto* memory = static_cast<char*>(scratch(kSlotWidened, bytes));
  if (!memory) return;
  for (int i = 0; i < count; ++i) {
    Panels& panels = *weights[i].panels;
    WidenJob job{panels.data, reinterpret_cast<float*>(memory), panels.n, weights[i].depth};
    parallel_for(panel_count(job.n), larger(1, 65536 / (kPanel * larger(job.depth, 1))), widen_range, &job);
    panels = Panels{reinterpret_cast<uint32_t*>(memory), job.n, job.depth};
    memory += panel_bytes(job.n, job.depth);
  }
  c = Compute::floats;
}

}  // namespace unimoer::UNIMOER_ISA_NS
