// Row softmax, log-softmax, cross entropy and their gradients.
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

template <class T>
UM_INLINE float max_of_row(const T* x, int64_t n) {
  return row_max(n, [=](int64_t i, int k) UM_BODY {
    return keep(get(x + i, k), k, splat(-__builtin_inff()));
  });
}
template <class T>
UM_INLINE float exp_sum_of_row(const T* x, int64_t n, float max) {
  const Vf m = splat(max);
  return row_sum(n, [=](int64_t i, int k) UM_BODY {
    return keep(vexp(get(x + i, k) - m), k, vzero());
  });
}
UM_INLINE float log_of(float v) { return vlog(splat(v))[0]; }

template <bool Log>
Status softmax(const KernelArgs& a) {
  const int64_t rows = a.i(1), cols = a.i(2);
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, rows, cols, sizeof(T)) || !holds(a, 1, rows, cols, sizeof(T))) {
      return too_small();
    }
    if (cols == 0) return Status::ok;
    const T* x = a.ptr<T>(0);
    T* y = a.ptr<T>(1);
    parallel(rows, row_grain(cols), [=](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* xr = x + r * cols;
        T* yr = y + r * cols;
        const float max = max_of_row(xr, cols);
        const float sum = exp_sum_of_row(xr, cols, max);
        if (Log) {
          const Vf shift = splat(max), lse = splat(log_of(sum));
          each_vector(0, cols, [=](int64_t i, int k) UM_BODY {
            put(yr + i, (get(xr + i, k) - shift) - lse, k);
          });
        } else {
          const Vf shift = splat(max), inverse = splat(1.0f / sum);
          each_vector(0, cols, [=](int64_t i, int k) UM_BODY {
            put(yr + i, vexp(get(xr + i, k) - shift) * inverse, k);
          });
        }
      }
    });
    return Status::ok;
  });
}

template <bool Log>
Status softmax_grad(const KernelArgs& a) {
  const int64_t rows = a.i(1), cols = a.i(2);
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    for (int b = 0; b < 3; ++b) {
      if (!holds(a, b, rows, cols, sizeof(T))) return too_small();
    }
    if (cols == 0) return Status::ok;
    const T* dy = a.ptr<T>(0);
    const T* y = a.ptr<T>(1);
    T* dx = a.ptr<T>(2);
    parallel(rows, row_grain(cols), [=](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* dyr = dy + r * cols;
        const T* yr = y + r * cols;
        T* dxr = dx + r * cols;
        const float dot = row_sum(cols, [=](int64_t i, int k) UM_BODY {
          const Vf d = get(dyr + i, k);
          return Log ? d : d * get(yr + i, k);
        });
        const Vf s = splat(dot);
        each_vector(0, cols, [=](int64_t i, int k) UM_BODY {
          const Vf d = get(dyr + i, k), p = get(yr + i, k);
          put(dxr + i, Log ? fnma(vexp(p), s, d) : p * (d - s), k);
        });
      }
    });
    return Status::ok;
  });
}

Status check_targets(const int32_t* targets, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; ++r) {
    if (targets[r] < -1 || targets[r] >= cols) {
      return fail(Status::bad_argument, "cross entropy target outside -1..classes-1");
    }
  }
  return Status::ok;
}

Status cross_entropy(const KernelArgs& a) {
  const int64_t rows = a.i(0), cols = a.i(1);
  if (!holds(a, 0, rows, cols, 4) || !holds(a, 1, rows, 1, 4) || !holds(a, 2, rows, 1, 4) ||
      !holds(a, 3, rows, 1, 4)) {
    return too_small();
  }
  const float* x = a.ptr<float>(0);
  const int32_t* target = a.ptr<int32_t>(1);
  float* loss = a.ptr<float>(2);
  float* lse = a.ptr<float>(3);
  const Status checked = check_targets(target, rows, cols);
  if (checked != Status::ok) return checked;
  parallel(rows, row_grain(cols), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* xr = x + r * cols;
      const float max = max_of_row(xr, cols);
      lse[r] = max + log_of(exp_sum_of_row(xr, cols, max));
      loss[r] = target[r] < 0 ? 0.0f : lse[r] - xr[target[r]];
    }
  });
  return Status::ok;
}

Status cross_entropy_grad(const KernelArgs& a) {
  const int64_t rows = a.i(0), cols = a.i(1);
  if (!holds(a, 0, rows, 1, 4) || !holds(a, 1, rows, cols, 4) || !holds(a, 2, rows, 1, 4) ||
      !holds(a, 3, rows, 1, 4) || !holds(a, 4, rows, cols, 4)) {
    return too_small();
  }
  const float* dloss = a.ptr<float>(0);
  const float* x = a.ptr<float>(1);
  const int32_t* target = a.ptr<int32_t>(2);
  const float* lse = a.ptr<float>(3);
  float* dx = a.ptr<float>(4);
  const Status checked = check_targets(target, rows, cols);
  if (checked != Status::ok) return checked;
  parallel(rows, row_grain(cols), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* xr = x + r * cols;
      float* dr = dx + r * cols;
      const bool ignored = target[r] < 0;
      const Vf g = splat(ignored ? 0.0f : dloss[r]), shift = splat(lse[r]);
      each_vector(0, cols, [=](int64_t i, int k) UM_BODY {
        put(dr + i, ignored ? vzero() : g * vexp(get(xr + i, k) - shift), k);
      });
      if (!ignored) dr[target[r]] -= dloss[r];
    }
  });
  return Status::ok;
}

}  // namespace

void register_softmax(KernelTable& t) {
  t.fn[k_softmax] = softmax<false>;
  t.fn[k_log_softmax] = softmax<true>;
  t.fn[k_softmax_grad] = softmax_grad<false>;
  t.fn[k_log_softmax_grad] = softmax_grad<true>;
  t.fn[k_cross_entropy] = cross_entropy;
  t.fn[k_cross_entropy_grad] = cross_entropy_grad;
}

}  // namespace unimoer::UNIMOER_ISA_NS
