#include "engine/engine.h"
#include "unimoer/pool.h"

namespace unimoer {
namespace {

struct Scratch {
  void* block[kScratchSlots] = {};
  std::size_t bytes[kScratchSlots] = {};
  ~Scratch() {
    for (int i = 0; i < kScratchSlots; ++i) system_free(block[i], bytes[i]);
  }
};
thread_local Scratch t_scratch;

}  // namespace

void* scratch(int slot, std::size_t bytes) {
  if (slot < 0 || slot >= kScratchSlots) return nullptr;
  Scratch& s = t_scratch;
  if (s.bytes[slot] >= bytes && s.block[slot]) return s.block[slot];
  system_free(s.block[slot], s.bytes[slot]);
  s.block[slot] = nullptr;
  s.bytes[slot] = 0;
  if (bytes > SIZE_MAX - (bytes >> 2) - 4096) return nullptr;
  const std::size_t grown = (bytes + (bytes >> 2) + 4095) & ~std::size_t{4095};
  s.block[slot] = system_alloc(grown);
  if (s.block[slot]) s.bytes[slot] = grown;
  return s.block[slot];
}

}  // namespace unimoer
