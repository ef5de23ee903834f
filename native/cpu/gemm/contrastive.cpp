// In-batch softmax over the products of two sets of vectors, whose scores are never stored.
// contrastive [q, p, targets, mask?, loss, lse](dt, n, m, k, scale): score = scale q pT + mask, q [n, k], p [m, k],
// mask f32 [n, m].
// contrastive_grad [dloss, q, p, targets, mask?, lse, dq?, dp?](the same): the scores again, once for either side.
#include "cpu/gemm/score_tiles.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

struct Pair {
  int dtype;
  int64_t n, m, k;
  float scale;
  const float* mask;
  explicit Pair(const KernelArgs& args, int mask_buffer)
      : dtype(static_cast<int>(args.i(0))),
        n(args.i(1)),
        m(args.i(2)),
        k(args.i(3)),
        scale(args.f(4)),
        mask(args.ptr<float>(mask_buffer)) {}
  UM_INLINE Compute compute() const { return compute_unpacked(dtype, dtype); }
  UM_INLINE bool fits(const KernelArgs& args, int q, int mask_buffer) const {
    const int64_t item = dtype_size(dtype);
    return n >= 0 && n < INT32_MAX && m > 0 && m < INT32_MAX && k > 0 && k < INT32_MAX && holds(args, q, n, k, item) &&
           holds(args, q + 1, m, k, item) && holds(args, q + 2, n, 1, 4) &&
           holds_or_absent(args, mask_buffer, n, m, 4);
  }
};

// The vectors of one side as panels of columns, or over k for the weighted sum; data is null when memory is exhausted.
UM_INLINE Panels panels_of(const void* data, int dtype, int64_t count, int64_t k, Compute c, bool over_k) {
  const int64_t lanes = over_k ? k : count, depth = over_k ? count : k, words = words_b(c, depth);
  auto* out = static_cast<uint32_t*>(scratch(over_k ? kSlotReverse : kSlotColumns, panel_bytes(lanes, words)));
  if (out)
    interleave_panels_parallel(out, Source{data, dtype, over_k ? 1 : k, over_k ? k : 1}, lanes, depth, pairs_in_b(c));
  return Panels{out, lanes, words};
}

// The weights of one row of the transposed scores: row is a document, columns are queries.
struct SoftmaxOfColumns {
  const float *slope, *lse;
  const int32_t* target;
  float scale;

  UM_INLINE void operator()(float* line, int64_t row, int64_t column, int64_t width) const {
    const SoftmaxOfColumns s = *this;
    const Vi own = splat_int(static_cast<int32_t>(row));
    each_vector(0, width, [=](int64_t j, int n) UM_BODY {
      const Vi t = n == kWidth ? load_int(s.target + column + j) : load_int_n(s.target + column + j, n);
      const Vf hot = choose((Vi)(t == own), splat(1.0f), vzero());
      const Vf p = vexp(get(line + j, n) - get(s.lse + column + j, n)) - hot;
      put(line + j, choose((Vi)(t < 0), vzero(), get(s.slope + column + j, n) * splat(s.scale) * p), n);
    });
  }

 private:
  static UM_INLINE Vi splat_int(int32_t v) {
    Vi r;
    for (int i = 0; i < kWidth; ++i) r[i] = v;
    return r;
  }
};

Status contrastive(const KernelArgs& args) {
  const Pair s(args, 3);
  if (!dtype_size(s.dtype)) return bad_dtype();
  if (!s.fits(args, 0, 3) || !holds(args, 4, s.n, 1, 4) || !holds(args, 5, s.n, 1, 4)) return too_small();
  if (s.n == 0) return Status::ok;
  const int32_t* target = args.ptr<int32_t>(2);
  const Status checked = check_score_targets(target, s.n, s.m);
  if (checked != Status::ok) return checked;
  const Compute c = s.compute();
  const uint32_t* staged = stage_rows(Source{args.buf[0], s.dtype, s.k, 1}, s.n, s.k, c);
  const Panels columns = panels_of(args.buf[1], s.dtype, s.m, s.k, c, false);
  if (!staged || !columns.data) return no_scratch();
  float *loss = args.ptr<float>(4), *lse = args.ptr<float>(5);
  const Status status = log_sum_exp(Scores{c, s.n, s.k, staged, columns, s.scale, s.mask, s.m, 1}, target, lse, loss);
  if (status == Status::ok) finish_loss(target, lse, loss, s.n);
  return status;
}

// The gradient of `rows` vectors from the scores against `columns` others.
template <class T, class F>
Status side_gradient(const Pair& s, const void* x, int64_t rows, const void* others, int64_t columns, int64_t mask_row,
                     int64_t mask_column, T* dx, const F& weigh) {
  const Compute c = s.compute();
  const uint32_t* staged = stage_rows(Source{x, s.dtype, s.k, 1}, rows, s.k, c);
  const Panels forward = panels_of(others, s.dtype, columns, s.k, c, false);
  const Panels reverse = panels_of(others, s.dtype, columns, s.k, c, true);
  if (!staged || !forward.data || !reverse.data) return no_scratch();
  return weighted_sum(Scores{c, rows, s.k, staged, forward, s.scale, s.mask, mask_row, mask_column}, reverse, dx, weigh);
}

Status contrastive_grad(const KernelArgs& args) {
  const Pair s(args, 4);
  const int64_t item = dtype_size(s.dtype);
  if (!item) return bad_dtype();
  if (!s.fits(args, 1, 4) || !holds(args, 0, s.n, 1, 4) || !holds(args, 5, s.n, 1, 4) ||
      !holds_or_absent(args, 6, s.n, s.k, item) || !holds_or_absent(args, 7, s.m, s.k, item))
    return too_small();
  const int32_t* target = args.ptr<int32_t>(3);
  const Status checked = check_score_targets(target, s.n, s.m);
  if (checked != Status::ok) return checked;
  const float *slope = args.ptr<float>(0), *lse = args.ptr<float>(5);
  return by_dtype(s.dtype, [&](auto tag) {
    using T = decltype(tag);
    T *dq = args.ptr<T>(6), *dp = args.ptr<T>(7);
    if (s.n == 0) {
      if (dp) __builtin_memset(dp, 0, static_cast<size_t>(s.m * s.k) * sizeof(T));
      return Status::ok;
    }
    Status status = Status::ok;
    if (dq)
      status = side_gradient(s, args.buf[1], s.n, args.buf[2], s.m, s.m, 1, dq,
                             SoftmaxOfRows{slope, lse, target, s.scale});
    if (dp && status == Status::ok)
      status = side_gradient(s, args.buf[2], s.m, args.buf[1], s.n, 1, s.m, dp,
                             SoftmaxOfColumns{slope, lse, target, s.scale});
    return status;
  });
}

}  // namespace

void register_contrastive(KernelTable& table) {
  table.fn[k_contrastive] = contrastive;
  table.fn[k_contrastive_grad] = contrastive_grad;
}

}  // namespace unimoer::UNIMOER_ISA_NS
