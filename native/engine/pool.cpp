// One pool per process. The thread that calls parallel_for works too; if another thread owns the
// pool at that moment (several Node workers), the range runs on the caller alone, so there are never
// more busy threads than callers plus pool workers.
//
// Protocol: `word_` holds [generation | limit | joined | open]. Publishing a job stores a new
// generation with open = 1; a worker joins by a compare-and-swap that raises `joined`; the owner
// closes the word when no chunk is left and waits only for those who joined. A worker that wakes too
// late finds the word closed and never touches the job.
#include "unimoer/pool.h"
#include "engine/engine.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#define UNIMOER_PAUSE() __builtin_ia32_pause()
#else
#define UNIMOER_PAUSE() std::atomic_signal_fence(std::memory_order_seq_cst)
#endif

namespace unimoer {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxThreads = 256;
constexpr int kSpins = 2000;  // some tens of microseconds
// How long a worker looks for the next job before it sleeps. Between two ops of a training step JavaScript
// runs for some tens of microseconds, and waking a sleeper costs more than a small op takes.
constexpr auto kIdle = std::chrono::microseconds(200);

constexpr std::uint64_t kOpen = 1;
constexpr int kJoinedShift = 1, kLimitShift = 17, kGenerationShift = 33;
constexpr std::uint64_t kCountMask = 0xffff;

struct Job {
  RangeFn fn = nullptr;
  void* ctx = nullptr;
  std::int64_t n = 0, grain = 1;
  std::atomic<std::int64_t> next{0};
};

thread_local bool t_inside = false;  // inside a parallel range: nested calls run inline
thread_local int t_limit = 0;        // frozen thread count of the kernel being launched

class Pool {
 public:
  int threads() const { return threads_.load(std::memory_order_relaxed); }

  void set_threads(int n) {
    threads_.store(n < 1 ? 1 : n > kMaxThreads ? kMaxThreads : n, std::memory_order_relaxed);
  }

  void run(std::int64_t n, std::int64_t grain, RangeFn fn, void* ctx, int limit) {
    std::unique_lock<std::mutex> owner(owner_, std::try_to_lock);
    if (!owner.owns_lock() || !ensure_workers(limit - 1)) {
      run_inline(n, grain, fn, ctx);
      return;
    }
    job_.fn = fn;
    job_.ctx = ctx;
    job_.n = n;
    job_.grain = grain;
    job_.next.store(0, std::memory_order_relaxed);
    left_.store(0, std::memory_order_relaxed);
    ++generation_;
    word_.store((generation_ << kGenerationShift) | (static_cast<std::uint64_t>(limit) << kLimitShift) |
                    (std::uint64_t{1} << kJoinedShift) | kOpen,
                std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(sleep_);
      wake_.notify_all();
    }
    t_inside = true;
    work(0);
    t_inside = false;
    const std::uint64_t closed = word_.fetch_and(~kOpen, std::memory_order_acq_rel);
    const int joined = static_cast<int>((closed >> kJoinedShift) & kCountMask) - 1;
    for (int spins = 0; spins < kSpins && left_.load(std::memory_order_acquire) != joined; ++spins) UNIMOER_PAUSE();
    if (left_.load(std::memory_order_acquire) != joined) wait_for(joined);
  }

  void stop() {
    std::lock_guard<std::mutex> owner(owner_);
    {
      std::lock_guard<std::mutex> lock(sleep_);
      stopping_.store(true, std::memory_order_seq_cst);
      wake_.notify_all();
    }
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    stopping_.store(false, std::memory_order_seq_cst);
  }

 private:
  static void run_inline(std::int64_t n, std::int64_t grain, RangeFn fn, void* ctx) {
    for (std::int64_t begin = 0; begin < n; begin += grain)
      fn(ctx, begin, n - begin < grain ? n : begin + grain, 0);
  }

  bool ensure_workers(int wanted) {
    try {
      while (static_cast<int>(workers_.size()) < wanted) workers_.emplace_back([this] { loop(); });
    } catch (...) {
      return !workers_.empty();
    }
    return true;
  }

  // A worker in the middle of a chunk lost its core to another program: give it ours.
  void wait_for(int joined) {
    std::unique_lock<std::mutex> lock(sleep_);
    owner_waits_.store(true, std::memory_order_seq_cst);
    finished_.wait(lock, [&] { return left_.load(std::memory_order_seq_cst) == joined; });
    owner_waits_.store(false, std::memory_order_relaxed);
  }

  void leave() {
    left_.fetch_add(1, std::memory_order_seq_cst);
    if (!owner_waits_.load(std::memory_order_seq_cst)) return;
    std::lock_guard<std::mutex> lock(sleep_);
    finished_.notify_one();
  }

  void work(int worker) {
    for (;;) {
      const std::int64_t begin = job_.next.fetch_add(job_.grain, std::memory_order_relaxed);
      if (begin >= job_.n) return;
      job_.fn(job_.ctx, begin, job_.n - begin < job_.grain ? job_.n : begin + job_.grain, worker);
    }
  }

  // The index under which this worker joined the open job, or 0.
  int join(std::uint64_t& seen) {
    std::uint64_t word = word_.load(std::memory_order_acquire);
    while ((word & kOpen) && (word >> kGenerationShift) != seen) {
      const std::uint64_t joined = (word >> kJoinedShift) & kCountMask;
      if (joined >= ((word >> kLimitShift) & kCountMask)) {
        seen = word >> kGenerationShift;
        return 0;
      }
      if (word_.compare_exchange_weak(word, word + (std::uint64_t{1} << kJoinedShift), std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
        seen = word >> kGenerationShift;
        return static_cast<int>(joined);
      }
    }
    return 0;
  }

  bool open_for(std::uint64_t seen) const {
    const std::uint64_t word = word_.load(std::memory_order_seq_cst);
    return (word & kOpen) && (word >> kGenerationShift) != seen;
  }

  void loop() {
    t_inside = true;
    std::uint64_t seen = 0;
    int idle = 0;
    auto since = Clock::now();
    while (!stopping_.load(std::memory_order_relaxed)) {
      if (const int index = join(seen)) {
        work(index);
        leave();
        idle = 0;
        since = Clock::now();
      } else if (++idle % 64 || Clock::now() - since < kIdle) {
        UNIMOER_PAUSE();
      } else {
        std::unique_lock<std::mutex> lock(sleep_);
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        wake_.wait(lock, [&] { return stopping_.load(std::memory_order_seq_cst) || open_for(seen); });
        sleepers_.fetch_sub(1, std::memory_order_seq_cst);
        idle = 0;
        since = Clock::now();
      }
    }
  }

  std::mutex owner_;  // held by the thread whose job the pool runs
  Job job_;
  std::uint64_t generation_ = 0;
  std::atomic<std::uint64_t> word_{0};
  std::atomic<int> left_{0};
  std::mutex sleep_;
  std::condition_variable wake_, finished_;
  std::atomic<bool> owner_waits_{false};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<int> threads_{usable_cores()};
  std::vector<std::thread> workers_;
};

// Never destroyed: at process exit its threads may still sleep on it.
Pool& pool() {
  static Pool* instance = new Pool;
  return *instance;
}

}  // namespace

void parallel_for(std::int64_t n, std::int64_t grain, RangeFn fn, void* ctx) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  const int limit = pool_threads();
  if (n <= grain || limit == 1 || t_inside) {
    for (std::int64_t begin = 0; begin < n; begin += grain)
      fn(ctx, begin, n - begin < grain ? n : begin + grain, 0);
    return;
  }
  pool().run(n, grain, fn, ctx, limit);
}

int pool_threads() { return t_limit > 0 ? t_limit : pool().threads(); }

void set_pool_threads(int n) { pool().set_threads(n); }
int configured_threads() { return pool().threads(); }
void stop_pool() { pool().stop(); }

LaunchScope::LaunchScope() { t_limit = pool().threads(); }
LaunchScope::~LaunchScope() { t_limit = 0; }

}  // namespace unimoer
