// The pool: every index once, whatever the thread count, from several threads at a time, with the
// thread count changing underneath, and after it was stopped.
#include "check.h"

#include <atomic>
#include <thread>

using namespace check;

namespace {

struct Visit {
  std::vector<unsigned char>* seen;
  std::atomic<int>* bad;
  int limit;
};

void visit(void* context, std::int64_t begin, std::int64_t end, int worker) {
  const Visit& v = *static_cast<const Visit*>(context);
  if (worker < 0 || worker >= v.limit) v.bad->fetch_add(1);
  for (std::int64_t i = begin; i < end; ++i) (*v.seen)[static_cast<std::size_t>(i)]++;
}

int sweep(int rounds, int limit) {
  std::atomic<int> bad{0};
  Random random;
  for (int round = 0; round < rounds; ++round) {
    unimoer::LaunchScope scope;
    const std::int64_t n = random.below(5000), grain = 1 + random.below(40);
    std::vector<unsigned char> seen(static_cast<std::size_t>(n));
    Visit v{&seen, &bad, limit};
    unimoer::parallel_for(n, grain, visit, &v);
    for (unsigned char s : seen)
      if (s != 1) bad.fetch_add(1);
  }
  return bad.load();
}

void nested(void* context, std::int64_t begin, std::int64_t end, int) {
  auto* sum = static_cast<std::atomic<std::int64_t>*>(context);
  const auto add = [](void* c, std::int64_t b, std::int64_t e, int) {
    static_cast<std::atomic<std::int64_t>*>(c)->fetch_add(e - b);
  };
  for (std::int64_t i = begin; i < end; ++i) unimoer::parallel_for(100, 7, add, sum);
}

void test_scratch() {
  for (int slot = 0; slot < unimoer::kScratchSlots; ++slot)
    for (std::size_t bytes : {std::size_t{1}, std::size_t{5000}, std::size_t{3} << 20}) {
      auto* p = static_cast<unsigned char*>(unimoer::scratch(slot, bytes));
      expect(p && reinterpret_cast<std::uintptr_t>(p) % 64 == 0, "scratch is aligned");
      if (p) p[0] = p[bytes - 1] = 1;
    }
  expect(!unimoer::scratch(0, std::size_t{1} << 62), "scratch refuses impossible sizes");
  expect(!unimoer::scratch(-1, 1) && !unimoer::scratch(unimoer::kScratchSlots, 1), "scratch refuses unknown slots");
}

}  // namespace

int main() {
  for (int threads : {1, 2, 4, 7}) {
    unimoer::set_pool_threads(threads);
    expect(sweep(3000, threads) == 0, "every index is visited once with " + std::to_string(threads) + " threads");
  }
  std::atomic<std::int64_t> sum{0};
  unimoer::parallel_for(64, 1, nested, &sum);
  expect(sum.load() == 6400, "nested ranges run inline");

  std::atomic<int> bad{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) callers.emplace_back([&] { bad.fetch_add(sweep(2000, 7)); });
  std::thread changer([&] {
    for (int n = 1; !done.load(); n = n % 7 + 1) {
      unimoer::set_pool_threads(n);
      std::this_thread::yield();
    }
  });
  for (std::thread& t : callers) t.join();
  done.store(true);
  changer.join();
  expect(bad.load() == 0, "concurrent callers each see every index once");

  for (int i = 0; i < 20; ++i) {
    unimoer::stop_pool();
    unimoer::set_pool_threads(4);
    expect(sweep(5, 4) == 0, "the pool works again after a stop");
  }
  unimoer::stop_pool();
  test_scratch();
  std::printf("%s\n", failures == 0 ? "ok" : "FAILED");
  return failures == 0 ? 0 : 1;
}
