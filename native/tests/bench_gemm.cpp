// Matrix products of MiniLM-L6 and Qwen3-0.6B against the multiply-add peak of this machine, which is
// measured between them on the same threads. Prints JSON lines.
//   bench_gemm [ISA] [quick|peak|quantized] [threads]
// peak: only the peaks, as one JSON object. quantized: int8 and int4 weights beside bf16 ones; few rows: bench_few.
#include "bench.h"

using namespace bench;
using namespace check;

namespace {

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
      median_seconds([&] { call(unimoer::k_linear_packed, {&x, &packed, &none, &none, &y}, {dt, dt, dm, dn, dk}); });
  report("linear_packed", name, m, n, k, 0, seconds, 2 * dm * dn * dk, top);
  if (!ranks) return;
  Buffer A = Buffer::of(random_values(random, ranks * k, kF32), kF32), B = Buffer::of(random_values(random, n * ranks, kF32), kF32);
  Buffer scale = Buffer::of(Values(ranks, 1), kF32), h = Buffer::empty(m * ranks, kF32), dx = Buffer::empty(m * k, dtype);
  Buffer dA = A, dB = B;
  seconds = median_seconds([&] {
    call(unimoer::k_adapted_linear, padded({&x, &none, &none, &h, &y, &packed, &A, &B, &scale, &none, &none}, 28),
         {dt, dt, dm, dk, 1, 1, dn, dr, 0, 0, 0, 0, 0});
  });
  report("adapted_linear", name, m, n, k, ranks, seconds, 2 * dm * (dn * dk + dr * (dn + dk)), top);
  seconds = median_seconds([&] {
    call(unimoer::k_adapted_linear_grad,
         padded({&x, &none, &none, &h, &dx, &none, &y, &packed_t, &A, &B, &scale, &none, &dA, &dB}, 30),
         {dt, dt, dm, dk, 1, 1, dn, dr, 0, 0, 0, 0, 0, 0});
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
    return [&, bits, integer] { linear_quantized(x, q, none, none, y, {1, bits, 32, integer, dm, dn, dk}); };
  };
  row("linear_packed", "bf16", [&] { call(unimoer::k_linear_packed, {&x, &packed, &none, &none, &y}, {1, 1, dm, dn, dk}); });
  row("linear_quantized", "int8 x int8", product(bytes, 8, 1));
  row("linear_quantized", "int8", product(bytes, 8, 0));
  row("linear_quantized", "int4 x int8", product(nibbles, 4, 1));
  row("linear_quantized", "int4", product(nibbles, 4, 0));
  row("linear_quantized gradient", "int4",
      [&] { linear_quantized(y, nibbles, none, none, dx, {1, 4, 32, 0, dm, dn, dk, 1}); });
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (!start(argc, argv, &o)) return 2;
  if (o.mode == "peak") {
    double top[2] = {};
    for (int i = 0; i < 20; ++i)
      for (int dtype : {kF32, kBF16}) top[dtype == kBF16] = peak(o.isa, dtype, o.threads);
    std::printf("{\"isa\":\"%s\",\"f32\":%.1f,\"bf16\":%.1f}\n", o.isa.c_str(), top[0], top[1]);
    unimoer::stop_pool();
    return 0;
  }
  const bool quick = o.mode == "quick";
  Random random;
  if (o.mode == "quantized") {
    for (const Shape& s : {Shape{384, 384}, Shape{1536, 384}, Shape{1024, 3072}})
      for (std::int64_t m : {1, 8, 512, 4096}) bench_quantized(random, m, s, o.threads);
    unimoer::stop_pool();
    return 0;
  }
  for (int dtype : {kF32, kBF16}) {
    for (const Shape& s : kShapes) {
      if (quick && (s.n == 1024 || s.n == 2048)) continue;
      bench_shape(random, dtype, 512, s, 0, o.threads);
      bench_shape(random, dtype, quick ? 2048 : 4096, s, 16, o.threads);
      if (!quick) bench_shape(random, dtype, 2048, s, 96, o.threads);
    }
    for (std::int64_t n : {8, 16, 32, 64, 96}) {
      bench_gemm(random, dtype, 4096, n, 384, false, true, o.threads);
      bench_gemm(random, dtype, n, 384, 4096, true, false, o.threads);
    }
  }
  unimoer::stop_pool();
  return 0;
}
