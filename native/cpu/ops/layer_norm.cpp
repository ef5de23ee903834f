// LayerNorm of x + residual, and its gradient. Statistics in f32 from the sum as it is stored.
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

struct Rows {
  int64_t rows, cols;
};

template <class T>
Status forward(const KernelArgs& a, Rows d, float eps) {
  const T* x = a.ptr<T>(0);
  const T* residual = a.ptr<T>(1);
  const float* w = a.ptr<float>(2);
  const float* b = a.ptr<float>(3);
  T* y = a.ptr<T>(4);
  T* sum = a.ptr<T>(5);
  float* mean_out = a.ptr<float>(6);
  float* rstd_out = a.ptr<float>(7);
  const int64_t cols = d.cols;
  bool failed = false;
  parallel(d.rows, row_grain(cols), [=, &failed](int64_t begin, int64_t end) {
    float* s = static_cast<float*>(scratch(0, static_cast<size_t>(cols) * 4));
    if (s == nullptr) {
      __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
      return;
    }
    const float inverse = 1.0f / static_cast<float>(cols);
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * cols;
      const float total = row_sum(cols, [=](int64_t i, int k) UM_BODY {
        Vf v = get(x + at + i, k);
        if (residual != nullptr) {
          v = stored_as<T>(v + get(residual + at + i, k));
          if (sum != nullptr) put(sum + at + i, v, k);
        }
        put(s + i, v, k);
        return v;
      });
      if (residual == nullptr && sum != nullptr) {
        __builtin_memcpy(sum + at, x + at, static_cast<size_t>(cols) * sizeof(T));
      }
      const float mean = total * inverse;
      const Vf m = splat(mean);
      const float squares = row_sum(cols, [=](int64_t i, int k) UM_BODY {
        const Vf v = keep(get(s + i, k) - m, k, vzero());
        return v * v;
      });
      const float rstd = 1.0f / __builtin_sqrtf(squares * inverse + eps);
      if (mean_out != nullptr) mean_out[r] = mean;
      if (rstd_out != nullptr) rstd_out[r] = rstd;
      const Vf scale = splat(rstd), one = splat(1.0f);
      each_vector(0, cols, [=](int64_t i, int k) UM_BODY {
        const Vf n = (get(s + i, k) - m) * scale;
        const Vf wi = w != nullptr ? get(w + i, k) : one;
        put(y + at + i, fma(n, wi, b != nullptr ? get(b + i, k) : vzero()), k);
      });
    }
  });
  return failed ? no_scratch() : Status::ok;
}

Status layer_norm(const KernelArgs& a) {
  const Rows d{a.i(1), a.i(2)};
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, d.rows, d.cols, sizeof(T)) || !holds_or_absent(a, 1, d.rows, d.cols, sizeof(T)) ||
        !holds_or_absent(a, 2, d.cols, 1, 4) || !holds_or_absent(a, 3, d.cols, 1, 4) ||
        !holds(a, 4, d.rows, d.cols, sizeof(T)) || !holds_or_absent(a, 5, d.rows, d.cols, sizeof(T)) ||
        !holds_or_absent(a, 6, d.rows, 1, 4) || !holds_or_absent(a, 7, d.rows, 1, 4)) {
      return too_small();
    }
    if (d.rows == 0 || d.cols == 0) return Status::ok;
    return forward<T>(a, d, a.f(3));
  });
}

// One row of dx; adds the row's share of dw and db where their accumulators are given.
template <class T, bool Weighted, bool Accumulate>
UM_INLINE void backward_row(const T* dy, const T* s, const float* w, float mean, float rstd, T* dx,
                            float* dw, float* db, int64_t cols) {
  const Vf m = splat(mean), scale = splat(rstd);
  Vf g0 = vzero(), g1 = vzero(), h0 = vzero(), h1 = vzero();
  const auto visit = [=](int64_t i, int k, Vf& g, Vf& h) UM_BODY {
    const Vf d = get(dy + i, k);
    const Vf n = (get(s + i, k) - m) * scale;
    if (Accumulate) {
      if (dw != nullptr) put(dw + i, fma(d, n, get(dw + i, k)), k);
      if (db != nullptr) put(db + i, get(db + i, k) + d, k);
    }
    const Vf v = Weighted ? d * get(w + i, k) : d;
    g = g + v;
    h = fma(v, n, h);
  };
  int64_t i = 0;
  for (; i + 2 * kWidth <= cols; i += 2 * kWidth) {
    visit(i, kWidth, g0, h0);
    visit(i + kWidth, kWidth, g1, h1);
  }
  for (; i < cols; i += kWidth) {
    visit(i, cols - i < kWidth ? static_cast<int>(cols - i) : kWidth, g0, h0);
  }
  const float inverse = 1.0f / static_cast<float>(cols);
  // dx = rstd (g - c1 - n c2) with n = (s - mean) rstd, written as rstd g - (a s + b).
  const float c1 = reduce_add(g0 + g1) * inverse, c2 = reduce_add(h0 + h1) * inverse;
  const Vf slope = splat(rstd * rstd * c2), shift = splat(rstd * c1);
  each_vector(0, cols, [=](int64_t j, int k) UM_BODY {
    const Vf d = get(dy + j, k);
    const Vf v = Weighted ? d * get(w + j, k) : d;
    const Vf centred = get(s + j, k) - m;
    put(dx + j, fma(v, scale, fnma(centred, slope, vneg(shift))), k);
  });
}

template <class T>
Status backward(const KernelArgs& a, Rows d) {
  const T* dy = a.ptr<T>(0);
  const T* s = a.ptr<T>(1);
  const float* w = a.ptr<float>(2);
  const float* mean = a.ptr<float>(3);
  const float* rstd = a.ptr<float>(4);
  T* dx = a.ptr<T>(5);
  float* dw = a.ptr<float>(6);
  float* db = a.ptr<float>(7);
  const int64_t cols = d.cols;
  if (dw == nullptr && db == nullptr) {
    parallel(d.rows, row_grain(cols), [=](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t at = r * cols;
        if (w != nullptr) {
          backward_row<T, true, false>(dy + at, s + at, w, mean[r], rstd[r], dx + at, nullptr,
                                       nullptr, cols);
        } else {
          backward_row<T, false, false>(dy + at, s + at, w, mean[r], rstd[r], dx + at, nullptr,
                                        nullptr, cols);
        }
      }
    });
    return Status::ok;
  }
  const RowChunks chunks(d.rows);
  const size_t bytes = static_cast<size_t>(chunks.count * 2 * cols + 1) * 4;
  float* partial = static_cast<float*>(scratch(1, bytes));
  if (partial == nullptr) return no_scratch();
  parallel(chunks.count, row_grain(chunks.size * cols), [=](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      float* pw = partial + c * 2 * cols;
      float* pb = pw + cols;
      __builtin_memset(pw, 0, static_cast<size_t>(cols) * 8);
      const int64_t last = (c + 1) * chunks.size < chunks.rows ? (c + 1) * chunks.size : chunks.rows;
      for (int64_t r = c * chunks.size; r < last; ++r) {
        const int64_t at = r * cols;
        if (w != nullptr) {
          backward_row<T, true, true>(dy + at, s + at, w, mean[r], rstd[r], dx + at, pw, pb, cols);
        } else {
          backward_row<T, false, true>(dy + at, s + at, w, mean[r], rstd[r], dx + at, pw, pb, cols);
        }
      }
    }
  });
  if (dw != nullptr) add_partials(partial, 2 * cols, chunks.count, cols, dw);
  if (db != nullptr) add_partials(partial + cols, 2 * cols, chunks.count, cols, db);
  return Status::ok;
}

Status layer_norm_grad(const KernelArgs& a) {
  const Rows d{a.i(1), a.i(2)};
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, d.rows, d.cols, sizeof(T)) || !holds(a, 1, d.rows, d.cols, sizeof(T)) ||
        !holds_or_absent(a, 2, d.cols, 1, 4) || !holds(a, 3, d.rows, 1, 4) ||
        !holds(a, 4, d.rows, 1, 4) || !holds(a, 5, d.rows, d.cols, sizeof(T)) ||
        !holds_or_absent(a, 6, d.cols, 1, 4) || !holds_or_absent(a, 7, d.cols, 1, 4)) {
      return too_small();
    }
    if (d.cols == 0) return Status::ok;
    return backward<T>(a, d);
  });
}

}  // namespace

void register_layer_norm(KernelTable& t) {
  t.fn[k_layer_norm] = layer_norm;
  t.fn[k_layer_norm_grad] = layer_norm_grad;
}

}  // namespace unimoer::UNIMOER_ISA_NS
