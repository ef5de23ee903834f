// The thread pool's only entry points. Chunk boundaries depend on n and grain alone, so results do
// not depend on the number of threads.
#pragma once
#include <stdint.h>
#include <stddef.h>

namespace unimoer {

using RangeFn = void (*)(void* ctx, int64_t begin, int64_t end, int worker);

// Calls fn on [0, n) in chunks of `grain`; runs inline when one chunk is enough. worker is in [0, threads).
void parallel_for(int64_t n, int64_t grain, RangeFn fn, void* ctx);

int pool_threads();

// Scratch memory of the calling thread, at least `bytes`, 64-byte aligned, valid until the next call
// with the same slot on the same thread; null when memory is exhausted.
void* scratch(int slot, size_t bytes);
constexpr int kScratchSlots = 9;

}  // namespace unimoer
