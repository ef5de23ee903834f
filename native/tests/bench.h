// What the native benchmarks share: the clock, the multiply-add peak of the machine and medians.
#pragma once
#include "check.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bench {

using unimoer::kBF16;
using unimoer::kF32;

// One thread is timed by its own clock, which other programs on the machine disturb less.
inline bool thread_clock = false;
inline double now() {
  if (thread_clock) {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Independent chains of multiply-adds, as many as hide the latency; returns floating-point operations.
#if defined(__x86_64__)
#define UNIMOER_CHAINS(target_name, type, lanes, chains, set1, step, add)       \
  __attribute__((target(target_name))) inline double chains_of(long rounds, float* sink) { \
    type acc[chains];                                                               \
    for (int i = 0; i < chains; ++i) acc[i] = set1(float(i));                       \
    type x = set1(0.999f), y = set1(0.001f);                                        \
    for (long r = 0; r < rounds; ++r) {                                             \
      _Pragma("GCC unroll 32") for (int i = 0; i < chains; ++i) step;               \
      __asm__ volatile("" : "+x"(x), "+x"(y));                                      \
    }                                                                               \
    for (int i = 1; i < chains; ++i) acc[0] = add(acc[0], acc[i]);                  \
    std::memcpy(sink, &acc[0], 4);                                                  \
    return double(rounds) * chains * lanes * 2;                                     \
  }
namespace f512 {
UNIMOER_CHAINS("avx512f", __m512, 16, 24, _mm512_set1_ps, acc[i] = _mm512_fmadd_ps(acc[i], x, y), _mm512_add_ps)
}
namespace f256 {
UNIMOER_CHAINS("avx2,fma", __m256, 8, 12, _mm256_set1_ps, acc[i] = _mm256_fmadd_ps(acc[i], x, y), _mm256_add_ps)
}
namespace f128 {
UNIMOER_CHAINS("sse2", __m128, 4, 12, _mm_set1_ps, acc[i] = _mm_add_ps(_mm_mul_ps(acc[i], x), y), _mm_add_ps)
}
namespace b512 {
UNIMOER_CHAINS("avx512f,avx512bf16", __m512, 32, 24, _mm512_set1_ps,
               acc[i] = _mm512_dpbf16_ps(acc[i], (__m512bh)x, (__m512bh)y), _mm512_add_ps)
}
#endif

inline double peak(const std::string& isa, int dtype, int threads) {
#if defined(__x86_64__)
  auto* chains = isa == "portable" ? f128::chains_of
                 : isa == "avx2"   ? f256::chains_of
                 : isa == "avx512bf16" && dtype == kBF16 ? b512::chains_of
                                                         : f512::chains_of;
  // The highest seen so far: another program can lower a measurement, nothing can raise it.
  static double seen[2] = {};
  double& best = seen[dtype == kBF16];
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::vector<double> rate(static_cast<std::size_t>(threads));
    std::vector<std::thread> pool;
    for (int i = 0; i < threads; ++i)
      pool.emplace_back([&, i] {
        float sink;
        const double start = now();
        const double work = chains(600000, &sink);
        rate[static_cast<std::size_t>(i)] = work / (now() - start) / 1e9;
      });
    for (auto& t : pool) t.join();
    double sum = 0;
    for (double r : rate) sum += r;
    best = std::max(best, sum);
  }
  return best;
#else
  (void)isa, (void)dtype, (void)threads;
  return 0;
#endif
}

template <class F>
double median_seconds(const F& f) {
  f();
  double t[7];
  const double start = now();
  f();
  const int repeats = std::max(1, static_cast<int>(0.02 / (now() - start + 1e-9)));
  for (double& x : t) {
    const double s = now();
    for (int i = 0; i < repeats; ++i) f();
    x = (now() - s) / repeats;
  }
  std::sort(t, t + 7);
  return t[3];
}

// Arguments: [ISA] [mode] [threads]. Selects the instruction set and the threads; false after an error.
struct Options {
  std::string isa, mode;
  int threads;
};
inline bool start(int argc, char** argv, Options* o) {
  o->isa = argc > 1 && *argv[1] ? argv[1] : unimoer::available_isas().front();
  o->mode = argc > 2 ? argv[2] : "";
  o->threads = argc > 3 && *argv[3] ? std::atoi(argv[3]) : unimoer::usable_cores();
  std::string error;
  if (!unimoer::select_isa(o->isa, error)) {
    std::fprintf(stderr, "error: %s\n", error.c_str());
    return false;
  }
  unimoer::set_pool_threads(o->threads);
  thread_clock = o->threads == 1;
  return true;
}

}  // namespace bench
