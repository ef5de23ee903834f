// RMSNorm of x + residual, and its gradient, which also takes the gradient of the sum itself.
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

template <class T>
void forward(const KernelArgs& a, int64_t rows, int64_t cols, float eps) {
  const T* x = a.ptr<T>(0);
  const T* residual = a.ptr<T>(1);
  const float* w = a.ptr<float>(2);
  T* y = a.ptr<T>(3);
  T* sum = a.ptr<T>(4);
  float* rstd_out = a.ptr<float>(5);
  parallel(rows, row_grain(cols), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * cols;
      const auto value = [=](int64_t i, int k) UM_BODY {
        const Vf v = get(x + at + i, k);
        return residual == nullptr ? v : stored_as<T>(v + get(residual + at + i, k));
      };
      const float squares = row_sum(cols, [=](int64_t i, int k) UM_BODY {
        const Vf v = value(i, k);
        return v * v;
      });
      const float rstd = 1.0f / __builtin_sqrtf(squares / static_cast<float>(cols) + eps);
      if (rstd_out != nullptr) rstd_out[r] = rstd;
      const Vf scale = splat(rstd);
      each_vector(0, cols, [=](int64_t i, int k) UM_BODY {
        const Vf v = value(i, k);
        if (sum != nullptr) put(sum + at + i, v, k);
        const Vf n = v * scale;
        put(y + at + i, w != nullptr ? n * get(w + i, k) : n, k);
      });
    }
  });
}

Status rms_norm(const KernelArgs& a) {
  const int64_t rows = a.i(1), cols = a.i(2);
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, rows, cols, sizeof(T)) || !holds_or_absent(a, 1, rows, cols, sizeof(T)) ||
        !holds_or_absent(a, 2, cols, 1, 4) || !holds(a, 3, rows, cols, sizeof(T)) ||
        !holds_or_absent(a, 4, rows, cols, sizeof(T)) || !holds_or_absent(a, 5, rows, 1, 4)) {
      return too_small();
    }
    if (rows > 0 && cols > 0) forward<T>(a, rows, cols, a.f(3));
    return Status::ok;
  });
}

struct Gradient {
  const float* w;
  float* dw;
  int64_t cols;
};

// One row; adds the row's share of dw where its accumulator is given.
template <class T>
UM_INLINE void backward_row(const T* dy, const T* s, const T* dsum, float rstd, T* dx, Gradient p) {
  const Vf scale = splat(rstd);
  const float dot = row_sum(p.cols, [=](int64_t i, int k) UM_BODY {
    const Vf d = get(dy + i, k);
    const Vf n = get(s + i, k) * scale;
    if (p.dw != nullptr) put(p.dw + i, fma(d, n, get(p.dw + i, k)), k);
    return (p.w != nullptr ? d * get(p.w + i, k) : d) * n;
  });
  // dx = rstd (g - n c) + dsum with n = s rstd.
  const Vf slope = splat(rstd * rstd * (dot / static_cast<float>(p.cols)));
  each_vector(0, p.cols, [=](int64_t i, int k) UM_BODY {
    const Vf d = get(dy + i, k);
    const Vf g = p.w != nullptr ? d * get(p.w + i, k) : d;
    const Vf extra = dsum != nullptr ? get(dsum + i, k) : vzero();
    put(dx + i, fma(g, scale, fnma(get(s + i, k), slope, extra)), k);
  });
}

template <class T>
Status backward(const KernelArgs& a, int64_t rows, int64_t cols) {
  const T* dy = a.ptr<T>(0);
  const T* s = a.ptr<T>(1);
  const float* w = a.ptr<float>(2);
  const float* rstd = a.ptr<float>(3);
  const T* dsum = a.ptr<T>(4);
  T* dx = a.ptr<T>(5);
  float* dw = a.ptr<float>(6);
  const auto row = [=](int64_t r, float* accumulator) UM_BODY {
    const int64_t at = r * cols;
    backward_row<T>(dy + at, s + at, dsum == nullptr ? nullptr : dsum + at, rstd[r], dx + at,
                    Gradient{w, accumulator, cols});
  };
  if (dw == nullptr) {
    parallel(rows, row_grain(cols), [=](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) row(r, nullptr);
    });
    return Status::ok;
  }
  const RowChunks chunks(rows);
  float* partial = static_cast<float*>(scratch(1, static_cast<size_t>(chunks.count * cols + 1) * 4));
  if (partial == nullptr) return no_scratch();
  parallel(chunks.count, row_grain(chunks.size * cols), [=](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      float* accumulator = partial + c * cols;
      __builtin_memset(accumulator, 0, static_cast<size_t>(cols) * 4);
      const int64_t last = (c + 1) * chunks.size < rows ? (c + 1) * chunks.size : rows;
      for (int64_t r = c * chunks.size; r < last; ++r) row(r, accumulator);
    }
  });
  add_partials(partial, cols, chunks.count, cols, dw);
  return Status::ok;
}

Status rms_norm_grad(const KernelArgs& a) {
  const int64_t rows = a.i(1), cols = a.i(2);
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, rows, cols, sizeof(T)) || !holds(a, 1, rows, cols, sizeof(T)) ||
        !holds_or_absent(a, 2, cols, 1, 4) || !holds(a, 3, rows, 1, 4) ||
        !holds_or_absent(a, 4, rows, cols, sizeof(T)) || !holds(a, 5, rows, cols, sizeof(T)) ||
        !holds_or_absent(a, 6, cols, 1, 4)) {
      return too_small();
    }
    if (cols == 0) return Status::ok;
    return backward<T>(a, rows, cols);
  });
}

}  // namespace

void register_rms_norm(KernelTable& t) {
  t.fn[k_rms_norm] = rms_norm;
  t.fn[k_rms_norm_grad] = rms_norm_grad;
}

}  // namespace unimoer::UNIMOER_ISA_NS
