// Every kernel against arguments that nobody would pass on purpose: absent and short buffers, sizes
// that are negative, huge, fractional or NaN, indices of garbage. A kernel may refuse or compute; it
// may not touch memory outside its buffers (run this under the address sanitizer) nor hang.
#include "check.h"

using namespace check;
using unimoer::Status;

namespace {

struct Row {
  const char* name;
  int buffers, args;
};
const Row kRows[] = {
#define UNIMOER_KERNEL(name, nbuf, narg) {#name, nbuf, narg},
#include "unimoer/kernels.def"
#undef UNIMOER_KERNEL
};
constexpr int kRounds = 2000;

double odd_number(Random& random) {
  static const double kOdd[] = {-1, 0.5, -0.5, 1e9, 1e15, 9007199254740992.0, 1e300, -1e300, NAN, INFINITY};
  return kOdd[random.below(std::size(kOdd))];
}

// Mostly small sizes, so that many calls pass the checks and reach the loops.
double argument(Random& random) {
  if (random.below(12) == 0) return odd_number(random);
  static const double kUsual[] = {0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 7, 8, 16, 17, 33};
  return kUsual[random.below(std::size(kUsual))];
}

// Zeros, small rising integers (offsets, indices), floats or noise; the exact size is on the heap.
Buffer buffer(Random& random) {
  if (random.below(24) == 0) return Buffer::absent();
  const std::size_t words = random.below(12) == 0 ? random.below(8) : random.below(600);
  Buffer b = Buffer::raw(words * 4 + random.below(4));
  const std::int64_t kind = random.below(4);
  for (std::size_t i = 0; i < words; ++i) {
    const std::int32_t rising = static_cast<std::int32_t>(i), noise = static_cast<std::int32_t>(random.next());
    const float small = random.uniform();
    const void* from = kind == 1 ? &rising : kind == 2 ? static_cast<const void*>(&small) : &noise;
    if (kind != 0) std::memcpy(&b.bytes[4 * i], from, 4);
  }
  return b;
}

void test_kernel(Random& random, int id) {
  const Row& row = kRows[id];
  int computed = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<Buffer> buffers;
    std::vector<void*> pointers;
    std::vector<std::size_t> sizes;
    std::vector<double> args;
    for (int i = 0; i < row.buffers; ++i) buffers.push_back(buffer(random));
    for (int i = 0; i < row.args; ++i) args.push_back(argument(random));
    for (Buffer& b : buffers) {
      pointers.push_back(b.present && !b.bytes.empty() ? b.bytes.data() : nullptr);
      sizes.push_back(pointers.back() ? b.bytes.size() : 0);
    }
    const Status status = unimoer::launch_kernel(
        id, unimoer::KernelArgs{pointers.data(), sizes.data(), row.buffers, args.data(), row.args});
    expect(status >= Status::ok && status <= Status::internal, std::string(row.name) + " returned no status");
    computed += status == Status::ok;
  }
  expect(computed > 0, std::string(row.name) + " refused every call: the test reaches nothing");
}

}  // namespace

int main() {
  return for_each_isa([] {
    Random random;
    for (int id = 0; id < static_cast<int>(std::size(kRows)); ++id) test_kernel(random, id);
  });
}
