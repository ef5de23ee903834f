// feed_forward [x, up, upBias?, gate?, gateBias?, down, downBias?, upOut?, gateOut?, y, residual?]
//              (dtx, dtPack, m, d, wide, activation)
//   u = x upT + upBias;  g = x gateT + gateBias;  y = act(u) downT + downBias + residual, with a gate act = silu(g) u
// feed_forward_grad [dy, upOut, gateOut?, upT, gateT?, downT, dx, added?](dtx, dtPack, m, d, wide, activation)
//   dx = gradient through the frozen weights + added, which may be dx
// A block of rows goes through all products while it is in cache: only u and g reach memory, and only
// where a gradient will need them. Values are rounded where the separate kernels round them, so the bits
// are theirs.
#include "cpu/gemm/activate.h"
#include "cpu/gemm/core/core.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kSlotUp = 2, kSlotGate = 3, kSlotRows = 4, kSlotFirst = 5, kSlotSecond = 6, kSlotTile = 7;
constexpr int64_t kWantedRowBlocks = 48;

struct Job {
  int dtype, activation;
  Compute compute;
  int64_t m, d, wide, block;
  int64_t pitch;                // of scratch rows of `wide` values
  bool direct;                  // the second product reads them where they lie
  const void* in;               // x or dy
  Panels up, gate, down;        // in a gradient packed the other way
  const float *up_bias, *gate_bias;
  void *up_out, *gate_out;      // [m, wide]; null in a forward pass that keeps neither
  Output out;                   // y or dx
  bool failed;

  bool gated() const { return activation == kSwiglu; }
  int64_t item() const { return dtype_size(dtype); }
  Source source() const { return Source{in, dtype, d, 1}; }
};

// Rows of u, g or their gradients.
template <class T>
struct Wide {
  T* data;
  int64_t stride;
  // Rows of `kept` from `row` on, or of the block in scratch.
  Wide(const Job& job, void* kept, char* own, int64_t row)
      : data(kept ? static_cast<T*>(kept) + row * job.wide : reinterpret_cast<T*>(own)), stride(kept ? job.wide : job.pitch) {}
  T* operator[](int64_t row) const { return data + row * stride; }
};

struct Space {
  uint32_t *rows, *first, *second;  // staged: [block, d], [block, wide] twice, unless read where they lie
  char *up, *gate;                  // [block, pitch]
  char *active, *active_gate;       // what the second product reads: [block, pitch], or of one tile before staging
  explicit Space(const Job& job, bool gradient) {
    const auto at = [](int slot, int64_t bytes) { return static_cast<char*>(scratch(slot, static_cast<size_t>(bytes))); };
    const int64_t row = job.pitch * job.item(), bytes = job.block * row;
    const auto staged = static_cast<int64_t>(staged_bytes(job.direct ? 0 : job.block, words_a(job.compute, job.wide)));
    const bool both = gradient && job.gated();
    rows = reinterpret_cast<uint32_t*>(at(kSlotRows, static_cast<int64_t>(rows_bytes(job.compute, job.source(), job.block, job.d))));
    first = reinterpret_cast<uint32_t*>(at(kSlotFirst, staged));
    second = both && !job.direct ? reinterpret_cast<uint32_t*>(at(kSlotSecond, staged)) : first;
    up = gradient || !job.up_out ? at(kSlotUp, bytes) : reinterpret_cast<char*>(first);
    gate = !gradient && job.gated() && !job.gate_out ? at(kSlotGate, bytes) : up;
    // Activations and slopes may take the place of their arguments.
    active = !job.direct ? at(kSlotTile, 2 * kTileRows * row) : !gradient && job.up_out ? at(kSlotTile, bytes) : up;
    active_gate = !both ? active : job.direct ? at(kSlotGate, bytes) : active + kTileRows * row;
  }
  bool complete() const { return rows && first && second && up && gate && active && active_gate; }
};

template <class T>
void widen(const Job& job, Product rows, int64_t count, const Panels& weight, const float* bias, const Wide<T>& out) {
  rows.b = &weight;
  multiply_block(&rows, 1, 0, count, 0, panel_count(job.wide), Output{out.data, job.dtype, out.stride, bias, 1.0f, 0.0f});
}

void stage_tile(const Job& job, uint32_t* staged, const char* tile, int64_t i, int64_t lanes) {
  interleave_rows(staged + i * words_a(job.compute, job.wide), Source{tile, job.dtype, job.pitch, 1}, 0, lanes, kTileRows,
                  job.wide, job.compute);
}

Product second_product(const Job& job, const char* active, const uint32_t* staged, const Panels* weight) {
  if (!job.direct) return Product{job.compute, staged, words_a(job.compute, job.wide), weight};
  return Product{job.compute, reinterpret_cast<const uint32_t*>(active), job.pitch * job.item() / 4, weight, true};
}

template <class T>
void forward_block(const Job& job, const Space& s, int64_t row, int64_t rows) {
  const Product in = rows_of(job.compute, job.source(), row, rows, job.d, nullptr, s.rows);
  const Wide<T> up(job, job.up_out, s.up, row), gate(job, job.gate_out, s.gate, row), active(job, nullptr, s.active, 0);
  widen(job, in, rows, job.up, job.up_bias, up);
  if (job.gated()) widen(job, in, rows, job.gate, job.gate_bias, gate);
  for (int64_t i = 0; i < rows; i += kTileRows) {
    const int64_t lanes = smaller(kTileRows, rows - i), to = job.direct ? i : 0;
    for (int64_t r = 0; r < lanes; ++r) activate(job.activation, up[i + r], gate[i + r], job.wide, active[to + r]);
    if (!job.direct) stage_tile(job, s.first, s.active, i, lanes);
  }
  const Product down = second_product(job, s.active, s.first, &job.down);
  multiply_block(&down, 1, row, rows, 0, panel_count(job.d), job.out);
}

template <class T>
void backward_block(const Job& job, const Space& s, int64_t row, int64_t rows) {
  const Product in = rows_of(job.compute, job.source(), row, rows, job.d, nullptr, s.rows);
  const Wide<T> up(job, job.up_out, nullptr, row), gate(job, job.gated() ? job.gate_out : job.up_out, nullptr, row);
  const Wide<T> slopes(job, nullptr, s.up, 0), to_up(job, nullptr, s.active, 0), to_gate(job, nullptr, s.active_gate, 0);
  widen(job, in, rows, job.down, nullptr, slopes);
  for (int64_t i = 0; i < rows; i += kTileRows) {
    const int64_t lanes = smaller(kTileRows, rows - i), to = job.direct ? i : 0;
    for (int64_t r = 0; r < lanes; ++r)
      slope(job.activation, slopes[i + r], up[i + r], gate[i + r], job.wide, to_up[to + r], to_gate[to + r]);
    if (job.direct) continue;
    stage_tile(job, s.first, s.active, i, lanes);
    if (job.gated()) stage_tile(job, s.second, s.active_gate, i, lanes);
  }
  const Product products[2] = {second_product(job, s.active, s.first, &job.up),
                               second_product(job, s.active_gate, s.second, &job.gate)};
  multiply_block(products, job.gated() ? 2 : 1, row, rows, 0, panel_count(job.d), job.out);
}

template <bool kGradient>
void blocks(void* context, int64_t begin, int64_t end, int) {
  Job& job = *static_cast<Job*>(context);
  const Space space(job, kGradient);
  if (!space.complete()) {
    __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
    return;
  }
  for (int64_t b = begin; b < end; ++b) {
    const int64_t row = b * job.block, rows = smaller(job.block, job.m - row);
    by_dtype(job.dtype, [&](auto tag) {
      if constexpr (kGradient)
        backward_block<decltype(tag)>(job, space, row, rows);
      else
        forward_block<decltype(tag)>(job, space, row, rows);
      return Status::ok;
    });
  }
}

// With fewer rows than this the blocks would be too few for all threads: whole products then, split by columns.
constexpr int64_t kFewRows = 8 * kTileRows;

Status few_rows(const Job& job, bool gradient) {
  const int64_t size = job.m * job.wide, item = job.item();
  const auto at = [=](int slot) { return static_cast<char*>(scratch(slot, static_cast<size_t>(larger(1, size) * item))); };
  char* up = gradient || job.up_out ? nullptr : at(kSlotUp);
  char* gate = gradient || job.gate_out || !job.gated() ? nullptr : at(kSlotGate);
  char* first = at(kSlotSecond);
  char* second = gradient && job.gated() ? at(kSlotTile) : first;
  if (!first || !second || (!gradient && !job.up_out && !up) || (!gradient && job.gated() && !job.gate_out && !gate))
    return no_scratch();
  void* u = job.up_out ? job.up_out : up;
  void* g = job.gate_out ? job.gate_out : gate;
  const auto product = [&](const void* a, int64_t depth, const Panels& b, const Output& out) {
    return multiply(job.compute, Source{a, job.dtype, depth, 1}, job.m, depth, b, out);
  };
  const auto inner = [&](void* to, const float* bias) { return Output{to, job.dtype, job.wide, bias, 1.0f, 0.0f}; };
  Status status = gradient ? product(job.in, job.d, job.down, inner(first, nullptr))
                           : product(job.in, job.d, job.up, inner(u, job.up_bias));
  if (status == Status::ok && !gradient && job.gated()) status = product(job.in, job.d, job.gate, inner(g, job.gate_bias));
  if (status != Status::ok) return status;
  by_dtype(job.dtype, [&](auto tag) {
    using T = decltype(tag);
    auto *a = static_cast<T*>(u), *b = static_cast<T*>(g);
    auto *one = reinterpret_cast<T*>(first), *two = reinterpret_cast<T*>(second);
    parallel(size, 8192, [=, &job](int64_t begin, int64_t end) {
      if (gradient)
        slope(job.activation, one + begin, a + begin, b + begin, end - begin, one + begin, two + begin);
      else
        activate(job.activation, a + begin, b + begin, end - begin, one + begin);
    });
    return Status::ok;
  });
  status = product(first, job.wide, gradient ? job.up : job.down, job.out);
  if (status != Status::ok || !gradient || !job.gated()) return status;
  Output rest = job.out;
  rest.residual = rest.data;
  return product(second, job.wide, job.gate, rest);
}

Status run(Job& job, bool gradient) {
  if (job.m == 0) return Status::ok;
  if (job.m <= kFewRows) return few_rows(job, gradient);
  const int64_t in = gradient ? job.wide : job.d, back = gradient ? job.d : job.wide;
  const Weight weights[] = {{&job.up, in}, {&job.down, back}, {&job.gate, in}};
  widen_once(job.compute, weights, job.gated() ? 3 : 2, job.m);
  job.block = block_rows(job.compute, job.m, job.wide, kWantedRowBlocks);
  // An odd number of lines, so that rows of a tile fall into different sets of the first-level cache.
  job.pitch = (ceil_div(job.wide * job.item(), 64) | 1) * 64 / job.item();
  job.direct = can_read_in_place(job.compute, Source{nullptr, job.dtype, job.pitch, 1}, job.wide);
  parallel_for(ceil_div(job.m, job.block), 1, gradient ? blocks<true> : blocks<false>, &job);
  return job.failed ? no_scratch() : Status::ok;
}

// Buffers of the packs up, gate and down, and of the arrays [m, d] and [m, wide].
struct Places {
  int up, gate, down, in, out, up_out, gate_out, residual;
};

Status read_job(const KernelArgs& args, const Places& at, bool gradient, Job& job) {
  job = Job{};
  job.dtype = static_cast<int>(args.i(0));
  const int packed = static_cast<int>(args.i(1));
  job.m = args.i(2), job.d = args.i(3), job.wide = args.i(4);
  job.activation = static_cast<int>(args.i(5));
  if (!dtype_size(job.dtype) || !dtype_size(packed)) return bad_dtype();
  if (job.m < 0 || job.d < 1 || job.wide < 1 || job.d >= INT32_MAX || job.wide >= INT32_MAX || job.activation < kRelu ||
      job.activation > kSwiglu)
    return fail(Status::bad_argument, "feed_forward: sizes must be positive and the activation one of 0 to 3");
  job.compute = compute_for(job.dtype, packed);
  const int64_t wide_words = words_b(job.compute, job.d), narrow_words = words_b(job.compute, job.wide);
  // The packs that lead from d to wide, then those that lead back.
  const auto wide_bytes = static_cast<int64_t>(panel_bytes(job.wide, wide_words));
  const auto narrow_bytes = static_cast<int64_t>(panel_bytes(job.d, narrow_words));
  const bool gated = job.gated();
  if (!args.has(at.up, gradient ? narrow_bytes : wide_bytes) || !args.has(at.down, gradient ? wide_bytes : narrow_bytes) ||
      (gated && !args.has(at.gate, gradient ? narrow_bytes : wide_bytes)) ||
      !holds(args, at.in, job.m, job.d, job.item()) || !holds(args, at.out, job.m, job.d, job.item()) ||
      !holds_or_absent(args, at.residual, job.m, job.d, job.item()) ||
      !(gradient ? holds : holds_or_absent)(args, at.up_out, job.m, job.wide, job.item()) ||
      (gated && !(gradient ? holds : holds_or_absent)(args, at.gate_out, job.m, job.wide, job.item())))
    return too_small();
  const auto panels = [&](int i, bool widens) {
    return widens ? Panels{args.ptr<uint32_t>(i), job.wide, wide_words} : Panels{args.ptr<uint32_t>(i), job.d, narrow_words};
  };
  job.up = panels(at.up, !gradient);
  job.gate = panels(at.gate, !gradient);
  job.down = panels(at.down, gradient);
  job.in = args.buf[at.in];
  job.up_out = args.buf[at.up_out];
  job.gate_out = gated ? args.buf[at.gate_out] : nullptr;
  job.out = Output{args.buf[at.out], job.dtype, job.d, nullptr, 1.0f, 0.0f, args.buf[at.residual]};
  return Status::ok;
}

Status feed_forward(const KernelArgs& args) {
  Job job;
  const Status status = read_job(args, Places{1, 3, 5, 0, 9, 7, 8, 10}, false, job);
  if (status != Status::ok) return status;
  if (!holds_or_absent(args, 2, 1, job.wide, 4) || !holds_or_absent(args, 4, 1, job.wide, 4) ||
      !holds_or_absent(args, 6, 1, job.d, 4))
    return too_small();
  job.up_bias = args.ptr<float>(2);
  job.gate_bias = args.ptr<float>(4);
  job.out.bias = args.ptr<float>(6);
  return run(job, false);
}

Status feed_forward_grad(const KernelArgs& args) {
  Job job;
  const Status status = read_job(args, Places{3, 4, 5, 0, 6, 1, 2, 7}, true, job);
  return status == Status::ok ? run(job, true) : status;
}

}  // namespace

void register_feed_forward(KernelTable& table) {
  table.fn[k_feed_forward] = feed_forward;
  table.fn[k_feed_forward_grad] = feed_forward_grad;
}

}  // namespace unimoer::UNIMOER_ISA_NS
