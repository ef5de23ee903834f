#include "engine/allocator.h"
#include "engine/engine.h"

#include <bit>

namespace unimoer {
namespace {

constexpr std::size_t kSlack = std::size_t{64} << 20;

// Eight classes per power of two: at most 12.5 % is lost to rounding.
std::size_t size_class(std::size_t bytes) {
  if (bytes <= 512) return (bytes + 63) & ~std::size_t{63};
  const std::size_t step = std::bit_floor(bytes - 1) >> 3;
  return (bytes + step - 1) / step * step;
}

}  // namespace

Allocator::~Allocator() {
  for (const Slot& slot : slots_)
    if (slot.ptr) system_free(slot.ptr, slot.block);
  trim();
}

void Allocator::trim() { shrink_cache(0); }

// Gives the largest cached blocks back until at most `allowed` bytes stay cached.
void Allocator::shrink_cache(std::size_t allowed) {
  while (cached_ > allowed && !cache_.empty()) {
    auto last = std::prev(cache_.end());
    system_free(last->second.back(), last->first);
    cached_ -= last->first;
    last->second.pop_back();
    if (last->second.empty()) cache_.erase(last);
  }
}

void* Allocator::take_block(std::size_t& block) {
  // A cached block up to a quarter too large beats fresh pages that must be zeroed on first touch.
  for (auto it = cache_.lower_bound(block); it != cache_.end() && it->first <= block + block / 4; ++it) {
    void* ptr = it->second.back();
    it->second.pop_back();
    block = it->first;
    cached_ -= block;
    if (it->second.empty()) cache_.erase(it);
    return ptr;
  }
  // What is held must not creep above what was needed at once, whatever sizes come by.
  const std::size_t held = live_blocks_ + block;
  const std::size_t limit = (peak_blocks_ > held ? peak_blocks_ : held) / 8 * 9 + kSlack;
  shrink_cache(limit > held ? limit - held : 0);
  if (void* ptr = system_alloc(block)) return ptr;
  trim();
  return system_alloc(block);
}

std::int32_t Allocator::alloc(std::size_t bytes) {
  if (bytes > SIZE_MAX / 4) return 0;
  std::size_t block = size_class(bytes ? bytes : 1);
  static const std::size_t machine = usable_memory();
  if (live_blocks_ + block > machine) return 0;
  std::uint32_t index;
  if (!free_slots_.empty()) {
    index = free_slots_.back();
  } else {
    if (slots_.size() > kIndexMask) return 0;
    index = static_cast<std::uint32_t>(slots_.size());
    free_slots_.reserve(slots_.size() + 1);
    slots_.emplace_back();
    free_slots_.push_back(index);
  }
  void* ptr = take_block(block);
  if (!ptr) return 0;
  free_slots_.pop_back();
  Slot& slot = slots_[index];
  slot.ptr = ptr;
  slot.bytes = bytes;
  slot.block = block;
  live_ += bytes;
  live_blocks_ += block;
  ++live_buffers_;
  if (live_ > peak_) peak_ = live_;
  if (live_blocks_ > peak_blocks_) peak_blocks_ = live_blocks_;
  return static_cast<std::int32_t>((slot.generation << kIndexBits) | index);
}

bool Allocator::free(std::int32_t handle) {
  void* ptr;
  std::size_t bytes;
  if (!find(handle, ptr, bytes)) return false;
  const std::uint32_t index = static_cast<std::uint32_t>(handle) & kIndexMask;
  Slot& slot = slots_[index];
  try {
    cache_[slot.block].push_back(ptr);
    cached_ += slot.block;
  } catch (...) {
    system_free(ptr, slot.block);
  }
  live_ -= slot.bytes;
  live_blocks_ -= slot.block;
  --live_buffers_;
  slot.ptr = nullptr;
  slot.generation = slot.generation >= 1023 ? 1 : slot.generation + 1;
  free_slots_.push_back(index);
  return true;
}

}  // namespace unimoer
