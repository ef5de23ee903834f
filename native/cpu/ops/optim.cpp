// AdamW with decoupled weight decay (Loshchilov and Hutter, ICLR 2019), in PyTorch's order of
// operations.
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

double power(double base, int64_t exponent) {
  double r = 1.0;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) r *= base;
    base *= base;
  }
  return r;
}

// adamw [p, g, m, v of up to eight tensors](lr, b1, b2, eps, decay, step, gradScale, then the size of each; 0 where
// there is none): many small tensors in one launch.
constexpr int kTensors = 8;

Status adamw(const KernelArgs& a) {
  const int64_t step = a.i(5);
  const double lr = a.arg[0], b1 = a.arg[1], b2 = a.arg[2], eps = a.arg[3], decay = a.arg[4];
  if (step < 1) return fail(Status::bad_argument, "adamw counts its steps from 1");
  int64_t at[kTensors + 1] = {0};
  for (int t = 0; t < kTensors; ++t) {
    const int64_t n = a.i(7 + t);
    for (int b = 0; b < 4 && n != 0; ++b) {
      if (!holds(a, 4 * t + b, n, 1, 4)) return too_small();
    }
    at[t + 1] = at[t] + n;
  }
  const double correction2 = 1.0 - power(b2, step);
  const Vf shrink = splat(static_cast<float>(1.0 - lr * decay));
  const Vf rate = splat(static_cast<float>(lr / (1.0 - power(b1, step))));
  const Vf root = splat(static_cast<float>(1.0 / __builtin_sqrt(correction2)));
  const Vf beta2 = splat(static_cast<float>(b2));
  const Vf rest1 = splat(static_cast<float>(1.0 - b1)), rest2 = splat(static_cast<float>(1.0 - b2));
  const Vf epsilon = splat(static_cast<float>(eps)), scale = splat(a.f(6));
  parallel(at[kTensors], kGrain, [=, &a, &at](int64_t begin, int64_t end) {
    for (int t = 0; t < kTensors; ++t) {
      const int64_t first = begin > at[t] ? begin : at[t], last = end < at[t + 1] ? end : at[t + 1];
      if (first >= last) continue;
      float *p = a.ptr<float>(4 * t), *m = a.ptr<float>(4 * t + 2), *v = a.ptr<float>(4 * t + 3);
      const float* g = a.ptr<float>(4 * t + 1);
      each_vector(first - at[t], last - at[t], [=](int64_t i, int k) UM_BODY {
        const Vf grad = get(g + i, k) * scale;
        const Vf m0 = get(m + i, k);
        const Vf m1 = fma(grad - m0, rest1, m0);
        const Vf v1 = fma(grad * grad, rest2, get(v + i, k) * beta2);
        const Vf step_size = m1 / fma(vsqrt(v1), root, epsilon);
        put(p + i, fnma(step_size, rate, get(p + i, k) * shrink), k);
        put(m + i, m1, k);
        put(v + i, v1, k);
      });
    }
  });
  return Status::ok;
}

}  // namespace

void register_optim(KernelTable& t) { t.fn[k_adamw] = adamw; }

}  // namespace unimoer::UNIMOER_ISA_NS
