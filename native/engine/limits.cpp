// What this process may use: cores by affinity and control-group quota, memory by the same.
#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace unimoer {
namespace {

constexpr std::size_t kHuge = std::size_t{2} << 20;

std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

#if defined(__linux__)
int quota_cores() {
  std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r");
  if (!file) return 0;
  double quota = 0, period = 0;
  const int fields = std::fscanf(file, "%lf %lf", &quota, &period);
  std::fclose(file);
  return fields == 2 && quota > 0 && period > 0 ? std::max(1, static_cast<int>(std::ceil(quota / period))) : 0;
}

std::size_t quota_memory() {
  std::FILE* file = std::fopen("/sys/fs/cgroup/memory.max", "r");
  if (!file) return 0;
  unsigned long long limit = 0;
  const int fields = std::fscanf(file, "%llu", &limit);
  std::fclose(file);
  return fields == 1 ? static_cast<std::size_t>(limit) : 0;
}
#endif

}  // namespace

int usable_cores() {
  int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = std::max(1, CPU_COUNT(&set));
  if (const int quota = quota_cores()) cores = std::min(cores, quota);
#endif
  return cores;
}

std::size_t usable_memory() {
  std::size_t limit = SIZE_MAX / 2;
#if defined(_SC_PHYS_PAGES) && defined(_SC_PAGESIZE)
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0) limit = static_cast<std::size_t>(pages) * static_cast<std::size_t>(page);
#endif
#if defined(__linux__)
  if (const std::size_t quota = quota_memory()) limit = std::min(limit, quota);
#endif
  return limit;
}

void* system_alloc(std::size_t bytes) {
  static const std::size_t limit = usable_memory();
  if (bytes > limit) return nullptr;
#if defined(__linux__)
  if (bytes >= kHuge) {
    // Over-map, then cut to a 2 MiB boundary so that huge pages can back the whole block.
    const std::size_t size = round_up(bytes, kHuge);
    void* raw = mmap(nullptr, size + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) return nullptr;
    const auto start = reinterpret_cast<std::uintptr_t>(raw);
    const std::uintptr_t aligned = round_up(start, kHuge);
    if (aligned > start) munmap(raw, aligned - start);
    if (const std::size_t tail = start + kHuge - aligned) munmap(reinterpret_cast<void*>(aligned + size), tail);
    madvise(reinterpret_cast<void*>(aligned), size, MADV_HUGEPAGE);
    return reinterpret_cast<void*>(aligned);
  }
#endif
  return std::aligned_alloc(64, round_up(std::max<std::size_t>(bytes, 64), 64));
}

void system_free(void* p, std::size_t bytes) {
  if (!p) return;
#if defined(__linux__)
  if (bytes >= kHuge) {
    munmap(p, round_up(bytes, kHuge));
    return;
  }
#else
  (void)bytes;
#endif
  std::free(p);
}

}  // namespace unimoer
