// Rotary position embedding, rotate-half convention; sign -1 rotates back, which is the gradient.
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int64_t kMaxHalf = 512;

Status rope(const KernelArgs& a) {
  const int64_t tokens = a.i(1), heads = a.i(2), dim = a.i(3);
  const float sign = a.f(4);
  if (dim <= 0 || dim % 2 != 0 || dim > 2 * kMaxHalf) {
    return fail(Status::bad_argument, "rope head dimension must be even and at most 1024");
  }
  const int64_t half = dim / 2;
  if (!holds(a, 1, tokens, 1, 4) || !holds(a, 2, half, 1, 4)) return too_small();
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    const int64_t width = bytes_of(heads, dim, 1);
    if (!holds(a, 0, tokens, width, sizeof(T)) || !holds(a, 3, tokens, width, sizeof(T))) {
      return too_small();
    }
    const T* x = a.ptr<T>(0);
    const int32_t* pos = a.ptr<int32_t>(1);
    const float* freq = a.ptr<float>(2);
    T* y = a.ptr<T>(3);
    parallel(tokens, row_grain(width), [=](int64_t begin, int64_t end) {
      float cosine[kMaxHalf], sine[kMaxHalf];
      const Vf s = splat(sign < 0.0f ? -1.0f : 1.0f);
      for (int64_t t = begin; t < end; ++t) {
        const Vf p = splat(static_cast<float>(pos[t]));
        each_vector(0, half, [&](int64_t i, int k) UM_BODY {
          Vf sn, cs;
          vsincos(p * get(freq + i, k), &sn, &cs);
          put(sine + i, sn * s, k);
          put(cosine + i, cs, k);
        });
        for (int64_t h = 0; h < heads; ++h) {
          const T* a1 = x + t * width + h * dim;
          const T* a2 = a1 + half;
          T* b1 = y + t * width + h * dim;
          T* b2 = b1 + half;
          each_vector(0, half, [&](int64_t i, int k) UM_BODY {
            const Vf u = get(a1 + i, k), v = get(a2 + i, k);
            const Vf sn = get(sine + i, k), cs = get(cosine + i, k);
            put(b1 + i, fnma(v, sn, u * cs), k);
            put(b2 + i, fma(u, sn, v * cs), k);
          });
        }
      }
    });
    return Status::ok;
  });
}

}  // namespace

void register_rope(KernelTable& t) { t.fn[k_rope] = rope; }

}  // namespace unimoer::UNIMOER_ISA_NS
