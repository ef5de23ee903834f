// Mean over packed sequences and L2 normalisation of rows; results in f32.
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// Offsets must rise from 0 and the last one bounds the rows that the kernel may touch.
bool offsets_valid(const int32_t* cu, int64_t segments) {
  if (cu[0] != 0) return false;
  for (int64_t s = 0; s < segments; ++s) {
    if (cu[s + 1] < cu[s]) return false;
  }
  return true;
}
Status bad_offsets() {
  return fail(Status::bad_argument, "sequence offsets must start at 0 and not decrease");
}

Status segment_mean(const KernelArgs& a) {
  const int64_t segments = a.i(1), cols = a.i(2);
  if (segments < 0 || !holds(a, 1, segments + 1, 1, 4) || !holds(a, 2, segments, cols, 4)) {
    return too_small();
  }
  const int32_t* cu = a.ptr<int32_t>(1);
  if (!offsets_valid(cu, segments)) return bad_offsets();
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, cu[segments], cols, sizeof(T))) return too_small();
    const T* x = a.ptr<T>(0);
    float* y = a.ptr<float>(2);
    const int64_t rows = segments > 0 ? (cu[segments] + segments - 1) / segments : 0;
    parallel(segments, row_grain(rows * cols), [=](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s) {
        const int64_t first = cu[s], last = cu[s + 1];
        const Vf inverse = splat(last > first ? 1.0f / static_cast<float>(last - first) : 0.0f);
        each_vector(0, cols, [=](int64_t i, int k) UM_BODY {
          Vf s0 = vzero(), s1 = vzero();
          int64_t r = first;
          for (; r + 2 <= last; r += 2) {
            s0 = s0 + get(x + r * cols + i, k);
            s1 = s1 + get(x + (r + 1) * cols + i, k);
          }
          if (r < last) s0 = s0 + get(x + r * cols + i, k);
          put(y + s * cols + i, (s0 + s1) * inverse, k);
        });
      }
    });
    return Status::ok;
  });
}

Status segment_mean_grad(const KernelArgs& a) {
  const int64_t segments = a.i(1), cols = a.i(2);
  if (segments < 0 || !holds(a, 0, segments, cols, 4) || !holds(a, 1, segments + 1, 1, 4)) {
    return too_small();
  }
  const int32_t* cu = a.ptr<int32_t>(1);
  if (!offsets_valid(cu, segments)) return bad_offsets();
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 2, cu[segments], cols, sizeof(T))) return too_small();
    const float* dy = a.ptr<float>(0);
    T* dx = a.ptr<T>(2);
    const int64_t rows = segments > 0 ? (cu[segments] + segments - 1) / segments : 0;
    parallel(segments, row_grain(rows * cols), [=](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s) {
        const int64_t first = cu[s], last = cu[s + 1];
        if (first == last) continue;
        const Vf inverse = splat(1.0f / static_cast<float>(last - first));
        each_vector(0, cols, [=](int64_t i, int k) UM_BODY {
          const Vf v = get(dy + s * cols + i, k) * inverse;
          for (int64_t r = first; r < last; ++r) put(dx + r * cols + i, v, k);
        });
      }
    });
    return Status::ok;
  });
}

Status l2_normalize(const KernelArgs& a) {
  const int64_t rows = a.i(1), cols = a.i(2);
  const float eps = a.f(3);
  if (!holds(a, 1, rows, cols, 4) || !holds(a, 2, rows, 1, 4)) return too_small();
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, rows, cols, sizeof(T))) return too_small();
    const T* x = a.ptr<T>(0);
    float* y = a.ptr<float>(1);
    float* norm = a.ptr<float>(2);
    parallel(rows, row_grain(cols), [=](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* xr = x + r * cols;
        float* yr = y + r * cols;
        const float squares = row_sum(cols, [=](int64_t i, int k) UM_BODY {
          const Vf v = get(xr + i, k);
          return v * v;
        });
        norm[r] = __builtin_sqrtf(squares);
        const Vf d = splat(norm[r] > eps ? norm[r] : eps);
        each_vector(0, cols,
                    [=](int64_t i, int k) UM_BODY { put(yr + i, get(xr + i, k) / d, k); });
      }
    });
    return Status::ok;
  });
}

Status l2_normalize_grad(const KernelArgs& a) {
  const int64_t rows = a.i(1), cols = a.i(2);
  const float eps = a.f(3);
  if (!holds(a, 0, rows, cols, 4) || !holds(a, 1, rows, cols, 4) || !holds(a, 2, rows, 1, 4)) {
    return too_small();
  }
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 3, rows, cols, sizeof(T))) return too_small();
    const float* dy = a.ptr<float>(0);
    const float* y = a.ptr<float>(1);
    const float* norm = a.ptr<float>(2);
    T* dx = a.ptr<T>(3);
    parallel(rows, row_grain(cols), [=](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float* dr = dy + r * cols;
        const float* yr = y + r * cols;
        T* xr = dx + r * cols;
        // Below eps the divisor is a constant, so nothing is projected out.
        const bool clamped = !(norm[r] > eps);
        const float dot = row_sum(
            cols, [=](int64_t i, int k) UM_BODY { return get(dr + i, k) * get(yr + i, k); });
        const Vf s = splat(clamped ? 0.0f : dot), d = splat(clamped ? eps : norm[r]);
        each_vector(0, cols, [=](int64_t i, int k) UM_BODY {
          put(xr + i, fnma(get(yr + i, k), s, get(dr + i, k)) / d, k);
        });
      }
    });
    return Status::ok;
  });
}

}  // namespace

void register_pooling(KernelTable& t) {
  t.fn[k_segment_mean] = segment_mean;
  t.fn[k_segment_mean_grad] = segment_mean_grad;
  t.fn[k_l2_normalize] = l2_normalize;
  t.fn[k_l2_normalize_grad] = l2_normalize_grad;
}

}  // namespace unimoer::UNIMOER_ISA_NS
