// Calls every kernel with arbitrary sizes, dtypes and buffers: it may refuse or compute, never touch
// memory outside its buffers. Buffers are heap blocks of their exact size; run it under a sanitizer.
//   test_fuzz [EXECUTIONS [SEED]]
#include "check.h"

using namespace check;

namespace {

constexpr int kCounts[][2] = {
#define UNIMOER_KERNEL(name, nbuf, narg) {nbuf, narg},
#include "unimoer/kernels.def"
#undef UNIMOER_KERNEL
};
const char* const kNames[] = {
#define UNIMOER_KERNEL(name, nbuf, narg) #name,
#include "unimoer/kernels.def"
#undef UNIMOER_KERNEL
};

double argument(Random& random) {
  switch (random.below(32)) {
    case 0: return -1;
    case 1: return NAN;
    case 2: return 1e300;
    case 3: return -1e300;
    case 4: return 4294967296.0 + static_cast<double>(random.below(4));
    case 5: return 3037000500.0;
    case 6: return 0.5;
    case 7: return 9007199254740993.0;
    default: return static_cast<double>(random.below(random.below(3) ? 4 : 40));
  }
}

Buffer buffer(Random& random) {
  if (random.below(12) == 0) return Buffer::absent();
  static const std::size_t sizes[] = {0, 2, 4, 7, 16, 64, 100, 256, 1024, 4096, 8192, 8192, 8192};
  Buffer b = Buffer::raw(sizes[random.below(13)]);
  const bool small_integers = random.below(2) != 0;
  for (std::size_t i = 0; i + 4 <= b.bytes.size(); i += 4) {
    const std::int32_t word = small_integers ? static_cast<std::int32_t>(random.below(12)) - 1
                                             : static_cast<std::int32_t>(random.next());
    std::memcpy(&b.bytes[i], &word, 4);
  }
  return b;
}

long run(Random& random, long executions) {
  long accepted = 0;
  for (long e = 0; e < executions; ++e) {
    const int id = static_cast<int>(random.below(unimoer::kKernelCount));
    std::vector<Buffer> buffers;
    std::vector<void*> ptr;
    std::vector<std::size_t> bytes;
    std::vector<double> args;
    for (int i = 0; i < kCounts[id][0]; ++i) buffers.push_back(buffer(random));
    for (Buffer& b : buffers) {
      ptr.push_back(b.present ? (b.bytes.empty() ? static_cast<void*>(&b) : b.bytes.data()) : nullptr);
      bytes.push_back(b.present ? b.bytes.size() : 0);
    }
    for (int i = 0; i < kCounts[id][1]; ++i) args.push_back(argument(random));
    // An empty array may have four billion rows; walking over them is slow, not wrong.
    bool huge = false;
    for (double a : args) huge = huge || std::fabs(a) > 1e6;
    for (double& a : args)
      if (huge && std::fabs(a) < 1) a = 1;
    if (std::getenv("UNIMOER_FUZZ_TRACE")) {
      std::fprintf(stderr, "%ld %s", e, kNames[id]);
      for (double a : args) std::fprintf(stderr, " %g", a);
      for (std::size_t b : bytes) std::fprintf(stderr, " [%zu]", b);
      std::fprintf(stderr, "\n");
    }
    const unimoer::Status status = unimoer::launch_kernel(
        id, unimoer::KernelArgs{ptr.data(), bytes.data(), kCounts[id][0], args.data(), kCounts[id][1]});
    accepted += status == unimoer::Status::ok;
    expect(status != unimoer::Status::internal, std::string(kNames[id]) + ": internal failure");
  }
  return accepted;
}

}  // namespace

int main(int argc, char** argv) {
  const long executions = argc > 1 ? std::atol(argv[1]) : 60000;
  Random random;
  if (argc > 2) random.state ^= std::strtoull(argv[2], nullptr, 10) * 0x2545f4914f6cdd1dull;
  return for_each_isa([&] {
    std::printf("%ld of %ld calls accepted; ", run(random, executions), executions);
  });
}
