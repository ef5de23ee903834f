// Buffers behind integer handles, with a cache of freed blocks by size class. One per JavaScript
// environment, used by its thread only.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace unimoer {

struct MemoryStats {
  std::size_t live_bytes, peak_bytes, cached_bytes;
  std::size_t live_buffers;
};

class Allocator {
 public:
  Allocator() = default;
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;
  ~Allocator();

  // A handle > 0, or 0 when memory is exhausted.
  std::int32_t alloc(std::size_t bytes);
  bool free(std::int32_t handle);
  // False if the handle is not live.
  bool find(std::int32_t handle, void*& ptr, std::size_t& bytes) const {
    const std::size_t index = static_cast<std::uint32_t>(handle) & kIndexMask;
    if (handle <= 0 || index >= slots_.size()) return false;
    const Slot& slot = slots_[index];
    if (!slot.ptr || slot.generation != static_cast<std::uint32_t>(handle) >> kIndexBits) return false;
    ptr = slot.ptr;
    bytes = slot.bytes;
    return true;
  }
  void trim();  // returns every cached block to the system
  MemoryStats stats() const { return {live_, peak_, cached_, live_buffers_}; }
  void reset_peak() { peak_ = live_; }
  // Taken from the system: live blocks with their rounding, and cached ones.
  std::size_t held_bytes() const { return live_blocks_ + cached_; }

 private:
  static constexpr int kIndexBits = 21;  // two million live buffers; ten bits tell stale handles apart
  static constexpr std::uint32_t kIndexMask = (1u << kIndexBits) - 1;
  struct Slot {
    void* ptr = nullptr;
    std::size_t bytes = 0, block = 0;
    std::uint32_t generation = 1;
  };

  void* take_block(std::size_t& block);
  void shrink_cache(std::size_t allowed);

  std::vector<Slot> slots_{1};  // slot 0 stays empty: handle 0 means null
  std::vector<std::uint32_t> free_slots_;
  std::map<std::size_t, std::vector<void*>> cache_;  // block size -> free blocks
  std::size_t live_ = 0, peak_ = 0, cached_ = 0, live_blocks_ = 0, peak_blocks_ = 0, live_buffers_ = 0;
};

}  // namespace unimoer
