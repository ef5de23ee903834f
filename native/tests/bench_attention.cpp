// Attention and its gradient at the shapes of MiniLM-L6 and Qwen3-0.6B, at mixed lengths and on one
// long sequence. FLOPs are those of the pairs that attend: two products forward, five backward.
// Prints JSON lines.
//   bench_attention [ISA] [quick] [threads]
#include "bench.h"

using namespace bench;
using namespace check;

namespace {

struct Shape {
  const char* name;
  std::vector<int> lengths;
  int heads, kv_heads, dim;
  bool causal;
};

std::vector<int> mixed_lengths(int count) {
  Random random;
  std::vector<int> lengths;
  for (int i = 0; i < count; ++i) lengths.push_back(8 + static_cast<int>(random.below(249)));
  return lengths;
}

void report(const Shape& s, const char* kernel, int dtype, double seconds, double flops, double top) {
  std::printf(
      "{\"isa\":\"%s\",\"kernel\":\"%s\",\"dtype\":\"%s\",\"shape\":\"%s\",\"ms\":%.3f,\"gflops\":%.1f,"
      "\"peak\":%.1f,\"share\":%.3f}\n",
      unimoer::isa_name(), kernel, dtype == kBF16 ? "bf16" : "f32", s.name, seconds * 1e3, flops / seconds / 1e9, top,
      flops / seconds / 1e9 / top);
  std::fflush(stdout);
}

void bench_shape(Random& random, const Shape& s, int dtype, int threads) {
  std::vector<int> cu{0};
  double pairs = 0;
  for (const int n : s.lengths) {
    cu.push_back(cu.back() + n);
    pairs += s.causal ? n * (n + 1) / 2.0 : double(n) * n;
  }
  const std::size_t tokens = cu.back(), q_size = tokens * s.heads * s.dim, kv_size = tokens * s.kv_heads * s.dim;
  Buffer q = Buffer::of(random_values(random, q_size, dtype), dtype), grad = q, out = q, dq = q;
  Buffer k = Buffer::of(random_values(random, kv_size, dtype), dtype), v = k, dk = k, dv = k;
  Buffer lse = Buffer::empty(tokens * s.heads, kF32), offsets = Buffer::ints(cu);
  const std::initializer_list<double> args = {double(dtype),   double(tokens),     double(s.lengths.size()),
                                              double(s.heads), double(s.kv_heads), double(s.dim),
                                              double(s.causal), 1 / std::sqrt(double(s.dim))};
  const double top = peak(unimoer::isa_name(), dtype, threads), products = 2 * pairs * s.heads * s.dim;
  double seconds =
      median_seconds([&] { call(unimoer::k_attention, {&q, &k, &v, &offsets, &out, &lse}, args); });
  report(s, "attention", dtype, seconds, 2 * products, top);
  seconds = median_seconds([&] {
    call(unimoer::k_attention_grad, {&grad, &q, &k, &v, &out, &lse, &offsets, &dq, &dk, &dv}, args);
  });
  report(s, "attention_grad", dtype, seconds, 5 * products, top);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (!start(argc, argv, &o)) return 2;
  std::vector<Shape> shapes = {
      {"minilm 32x128", std::vector<int>(32, 128), 12, 12, 32, false},
      {"qwen 8x256", std::vector<int>(8, 256), 16, 8, 128, true},
      {"minilm mixed", mixed_lengths(32), 12, 12, 32, false},
  };
  if (o.mode != "quick") {
    shapes.push_back({"qwen mixed", mixed_lengths(16), 16, 8, 128, true});
    shapes.push_back({"minilm 1x4096", {4096}, 12, 12, 32, false});
    shapes.push_back({"qwen 1x4096", {4096}, 16, 8, 128, true});
    shapes.push_back({"one head 1x4096", {4096}, 1, 1, 64, true});
  }
  Random random;
  for (const int dtype : {kF32, kBF16})
    for (const Shape& s : shapes) bench_shape(random, s, dtype, o.threads);
  unimoer::stop_pool();
  return 0;
}
