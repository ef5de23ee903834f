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

Status adamw(const KernelArgs& a) {
  const int64_t n = a.i(0), step = a.i(6);
  const double lr = a.arg[1], b1 = a.arg[2], b2 = a.arg[3], eps = a.arg[4], decay = a.arg[5];
  if (step < 1) return fail(Status::bad_argument, "adamw counts its steps from 1");
  for (int b = 0; b < 4; ++b) {
    if (!holds(a, b, n, 1, 4)) return too_small();
  }
  float* p = a.ptr<float>(0);
  const float* g = a.ptr<float>(1);
  float* m = a.ptr<float>(2);
  float* v = a.ptr<float>(3);
  const double correction2 = 1.0 - power(b2, step);
  const Vf shrink = splat(static_cast<float>(1.0 - lr * decay));
  const Vf rate = splat(static_cast<float>(lr / (1.0 - power(b1, step))));
  const Vf root = splat(static_cast<float>(1.0 / __builtin_sqrt(correction2)));
  const Vf beta2 = splat(static_cast<float>(b2));
  const Vf rest1 = splat(static_cast<float>(1.0 - b1)), rest2 = splat(static_cast<float>(1.0 - b2));
  const Vf epsilon = splat(static_cast<float>(eps)), scale = splat(a.f(7));
  parallel(n, kGrain, [=](int64_t begin, int64_t end) {
    each_vector(begin, end, [=](int64_t i, int k) UM_BODY {
      const Vf grad = get(g + i, k) * scale;
      const Vf m0 = get(m + i, k);
      const Vf m1 = fma(grad - m0, rest1, m0);
      const Vf v1 = fma(grad * grad, rest2, get(v + i, k) * beta2);
      const Vf step_size = m1 / fma(vsqrt(v1), root, epsilon);
      put(p + i, fnma(step_size, rate, get(p + i, k) * shrink), k);
      put(m + i, m1, k);
      put(v + i, v1, k);
    });
  });
  return Status::ok;
}

}  // namespace

void register_optim(KernelTable& t) { t.fn[k_adamw] = adamw; }

}  // namespace unimoer::UNIMOER_ISA_NS
