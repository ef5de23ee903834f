// Matrix products of MiniLM-L6 and Qwen3-0.6B against the multiply-add peak of this machine, which is
// measured between them on the same threads. Prints JSON lines.
//   bench_gemm [ISA] [quick|peak|quantized] [threads]
// peak: only the peaks, as one JSON object. quantized: int8 and int4 weights beside bf16 ones, with bf16 activations.
#include "check.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace check;
using unimoer::kBF16;
using unimoer::kF32;

namespace {

// One thread is timed by its own clock, which other programs on the machine disturb less.
bool thread_clock = false;
double now() {
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
  __attribute__((target(target_name))) double chains_of(long rounds, float* sink) { \
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

double peak(const std::string& isa, int dtype, int threads) {
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

struct Shape {
  std::int64_t n, k;
};
const Shape kShapes[] = {{384, 384}, {1536, 384}, {384, 1536}, {2048, 1024}, {1024, 2048}, {3072, 1024}, {1024, 3072}};

void report(const char* kernel, const char* dtype, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t r,
            double seconds, double flops, double top) {
  std::printf(
      "{\"isa\":\"%s\",\"kernel\":\"%s\",\"dtype\":\"%s\",\"m\":%ld,\"n\":%ld,\"k\":%ld,\"ranks\":%ld,\"ms\":%.3f,"
      "\"gflops\":%.1f,\"peak\":%.1f,\"share\":%.3f}\n",
      unimoer::isa_name(), kernel, dtype, m, n, k, r, seconds * 1e3, flops / seconds / 1e9, top,
      flops / seconds / 1e9 / top);
  std::fflush(stdout);
}

void bench_shape(Random& random, int dtype, std::int64_t m, Shape s, std::int64_t ranks, int threads) {
  const std::int64_t n = s.n, k = s.k;
  const char* name = dtype == kBF16 ? "bf16" : "f32";
  Buffer w = Buffer::of(random_values(random, n * k, kF32), kF32), x = Buffer::of(random_values(random, m * k, dtype), dtype);
  Buffer packed = Buffer::raw(unimoer::kernel_table().packed_bytes(dtype, n, k)), packed_t = packed;
  Buffer y = Buffer::of(random_values(random, m * n, dtype), dtype), none = Buffer::absent();
  const double dm = double(m), dn = double(n), dk = double(k), dt = dtype, dr = double(ranks);
  call(unimoer::k_pack_weight, {&w, &packed}, {0, dt, dn, dk, 0});
  call(unimoer::k_pack_weight, {&w, &packed_t}, {0, dt, dn, dk, 1});
  const double top = peak(unimoer::isa_name(), dtype, threads);
  double seconds =
      median_seconds([&] { call(unimoer::k_linear_packed, {&x, &packed, &none, &y}, {dt, dt, dm, dn, dk, 0}); });
  report("linear_packed", name, m, n, k, 0, seconds, 2 * dm * dn * dk, top);
  if (!ranks) return;
  Buffer A = Buffer::of(random_values(random, ranks * k, kF32), kF32), B = Buffer::of(random_values(random, n * ranks, kF32), kF32);
  Buffer scale = Buffer::of(Values(ranks, 1), kF32), h = Buffer::empty(m * ranks, kF32), dx = Buffer::empty(m * k, dtype);
  Buffer dA = A, dB = B;
  seconds = median_seconds([&] {
    call(unimoer::k_adapted_linear, padded({&x, &none, &none, &h, &y, &packed, &A, &B, &scale, &none, &none}, 25),
         {dt, dt, dm, dk, 1, 1, dn, dr, 0, 0, 0, 0});
  });
  report("adapted_linear", name, m, n, k, ranks, seconds, 2 * dm * (dn * dk + dr * (dn + dk)), top);
  seconds = median_seconds([&] {
    call(unimoer::k_adapted_linear_grad,
         padded({&x, &none, &none, &h, &dx, &none, &y, &packed_t, &A, &B, &scale, &none, &dA, &dB}, 30),
         {dt, dt, dm, dk, 1, 1, dn, dr, 0, 0, 0, 0, 0});
  });
  report("adapted_linear_grad", name, m, n, k, ranks, seconds, 2 * dm * (dn * dk + 2 * dr * (dn + dk)), top);
}

void bench_gemm(Random& random, int dtype, std::int64_t m, std::int64_t n, std::int64_t k, bool ta, bool tb, int threads) {
  Buffer a = Buffer::of(random_values(random, m * k, dtype), dtype), b = Buffer::of(random_values(random, n * k, dtype), dtype);
  Buffer c = Buffer::empty(m * n, dtype), none = Buffer::absent();
  const double top = peak(unimoer::isa_name(), dtype, threads);
  const double seconds = median_seconds([&] {
    call(unimoer::k_gemm, {&a, &b, &c, &none},
         {double(dtype), double(dtype), double(dtype), double(m), double(n), double(k), double(ta), double(tb), 1, 0});
  });
  report(ta ? "gemm_tn" : tb ? "gemm_nt" : "gemm_nn", dtype == kBF16 ? "bf16" : "f32", m, n, k, 0, seconds,
         2.0 * double(m) * double(n) * double(k), top);
}

// The share is that of the bf16 peak for every row, so that they compare.
void bench_quantized(Random& random, std::int64_t m, Shape s, int threads) {
  const double dm = double(m), dn = double(s.n), dk = double(s.k), flops = 2 * dm * dn * dk;
  Buffer w = Buffer::of(random_values(random, s.n * s.k, kF32), kF32), none = Buffer::absent();
  Buffer x = Buffer::of(random_values(random, m * s.k, kBF16), kBF16), y = Buffer::empty(m * s.n, kBF16);
  Buffer dx = Buffer::empty(m * s.k, kBF16), packed = Buffer::raw(unimoer::kernel_table().packed_bytes(kBF16, s.n, s.k));
  Buffer bytes = Buffer::raw(unimoer::kernel_table().quantized_bytes(8, 0, s.n, s.k));
  Buffer nibbles = Buffer::raw(unimoer::kernel_table().quantized_bytes(4, 32, s.n, s.k));
  call(unimoer::k_pack_weight, {&w, &packed}, {0, 1, dn, dk, 0});
  call(unimoer::k_quantize_weight, {&w, &bytes}, {0, 8, 0, dn, dk});
  call(unimoer::k_quantize_weight, {&w, &nibbles}, {0, 4, 32, dn, dk});
  const double top = peak(unimoer::isa_name(), kBF16, threads);
  const auto row = [&](const char* kernel, const char* weights, const auto& run) {
    report(kernel, weights, m, s.n, s.k, 0, median_seconds(run), flops, top);
  };
  const auto product = [&](Buffer& q, double bits, double integer) {
    return [&, bits, integer] { call(unimoer::k_linear_quantized, {&x, &q, &none, &y}, {1, bits, 32, integer, dm, dn, dk, 0, 0}); };
  };
  row("linear_packed", "bf16", [&] { call(unimoer::k_linear_packed, {&x, &packed, &none, &y}, {1, 1, dm, dn, dk, 0}); });
  row("linear_quantized", "int8 x int8", product(bytes, 8, 1));
  row("linear_quantized", "int8", product(bytes, 8, 0));
  row("linear_quantized", "int4", product(nibbles, 4, 0));
  row("linear_quantized gradient", "int4",
      [&] { call(unimoer::k_linear_quantized, {&y, &nibbles, &none, &dx}, {1, 4, 32, 0, dm, dn, dk, 1, 0}); });
}

}  // namespace

int main(int argc, char** argv) {
  const std::string isa = argc > 1 && *argv[1] ? argv[1] : unimoer::available_isas().front();
  const std::string mode = argc > 2 ? argv[2] : "";
  const bool quick = mode == "quick";
  const int threads = argc > 3 && *argv[3] ? std::atoi(argv[3]) : unimoer::usable_cores();
  std::string error;
  if (!unimoer::select_isa(isa, error)) {
    std::fprintf(stderr, "error: %s\n", error.c_str());
    return 2;
  }
  unimoer::set_pool_threads(threads);
  thread_clock = threads == 1;
  if (mode == "peak") {
    double top[2] = {};
    for (int i = 0; i < 20; ++i)
      for (int dtype : {kF32, kBF16}) top[dtype == kBF16] = peak(isa, dtype, threads);
    std::printf("{\"isa\":\"%s\",\"f32\":%.1f,\"bf16\":%.1f}\n", isa.c_str(), top[0], top[1]);
    unimoer::stop_pool();
    return 0;
  }
  Random random;
  if (mode == "quantized") {
    for (const Shape& s : {Shape{384, 384}, Shape{1536, 384}, Shape{1024, 3072}})
      for (std::int64_t m : {1, 8, 512, 4096}) bench_quantized(random, m, s, threads);
    unimoer::stop_pool();
    return 0;
  }
  for (int dtype : {kF32, kBF16}) {
    for (const Shape& s : kShapes) {
      if (quick && (s.n == 1024 || s.n == 2048)) continue;
      bench_shape(random, dtype, 512, s, 0, threads);
      bench_shape(random, dtype, quick ? 2048 : 4096, s, 16, threads);
      if (!quick) bench_shape(random, dtype, 2048, s, 96, threads);
    }
    for (std::int64_t n : {8, 16, 32, 64, 96}) {
      bench_gemm(random, dtype, 4096, n, 384, false, true, threads);
      bench_gemm(random, dtype, n, 384, 4096, true, false, threads);
    }
  }
  unimoer::stop_pool();
  return 0;
}
