// A few rows against frozen weights in every storage, as in serving one query. Weights of a model do not stay in
// cache from layer to layer, so every call takes another copy, of more than the caches hold; with `warm` one copy.
//   bench_few [ISA] [warm] [threads]
#include "bench.h"

using namespace bench;
using namespace check;

namespace {

struct Shape {
  std::int64_t n, k;
};
const Shape kShapes[] = {{384, 384}, {1536, 384}, {2048, 1024}, {3072, 1024}, {1024, 3072}};
constexpr std::size_t kColdBytes = std::size_t{96} << 20;

struct Form {
  const char* name;
  int bits;  // 16: bf16
  bool integer;
};
const Form kForms[] = {
    {"bf16", 16, false}, {"int8 x int8", 8, true}, {"int8", 8, false}, {"int4 x int8", 4, true}, {"int4", 4, false}};
constexpr double kGroup = 32;

void bench_shape(Random& random, Shape s, bool warm, int threads) {
  const double n = double(s.n), k = double(s.k);
  Buffer w = Buffer::of(random_values(random, s.n * s.k, kF32), kF32), none = Buffer::absent();
  for (const Form& form : kForms) {
    const auto& table = unimoer::kernel_table();
    Buffer stored = Buffer::raw(form.bits == 16 ? table.packed_bytes(kBF16, s.n, s.k)
                                                : table.quantized_bytes(form.bits, int(kGroup), s.n, s.k));
    if (form.bits == 16)
      call(unimoer::k_pack_weight, {&w, &stored}, {0, 1, n, k, 0});
    else
      call(unimoer::k_quantize_weight, {&w, &stored}, {0, double(form.bits), kGroup, n, k});
    const std::size_t size = stored.bytes.size();
    std::vector<Buffer> copies(warm ? 1 : kColdBytes / size + 1, stored);
    for (const std::int64_t m : {1, 2, 4, 8}) {
      Buffer x = Buffer::of(random_values(random, m * s.k, kBF16), kBF16), y = Buffer::empty(m * s.n, kBF16);
      const auto all = [&] {
        for (Buffer& copy : copies) {
          if (form.bits == 16)
            call(unimoer::k_linear_packed, {&x, &copy, &none, &none, &y}, {1, 1, double(m), n, k});
          else
            linear_quantized(x, copy, none, none, y, {1, double(form.bits), kGroup, double(form.integer), double(m), n, k});
        }
      };
      const double seconds = median_seconds(all) / double(copies.size());
      std::printf(
          "{\"isa\":\"%s\",\"threads\":%d,\"weights\":\"%s\",\"m\":%ld,\"n\":%ld,\"k\":%ld,\"us\":%.2f,"
          "\"gb_s\":%.1f}\n",
          unimoer::isa_name(), threads, form.name, m, s.n, s.k, seconds * 1e6, double(size) / seconds / 1e9);
      std::fflush(stdout);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (!start(argc, argv, &o)) return 2;
  Random random;
  for (const Shape& s : kShapes) bench_shape(random, s, o.mode == "warm", o.threads);
  unimoer::stop_pool();
  return 0;
}
