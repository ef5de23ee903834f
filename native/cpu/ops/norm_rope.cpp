// RMSNorm of each head followed by rotary embedding (rotate-half), in one pass, and its gradient.
// norm_rope [x, w, pos, invFreq, y, rstd](dt, tokens, heads, dim, eps): rstd f32 [tokens, heads].
// norm_rope_grad [dy, x, w, rstd, pos, invFreq, dx, dw?](dt, tokens, heads, dim).
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int64_t kMaxHalf = 512;

struct Heads {
  int64_t tokens, heads, dim;
  const float *w, *freq;
  const int32_t* pos;
  UM_INLINE int64_t width() const { return heads * dim; }
  UM_INLINE int64_t half() const { return dim / 2; }
};

struct Angles {
  float cosine[kMaxHalf], sine[kMaxHalf];

  UM_INLINE void at(const Heads& h, int64_t token) {
    const Vf p = splat(static_cast<float>(h.pos[token]));
    each_vector(0, h.half(), [&](int64_t i, int k) UM_BODY {
      Vf sn, cs;
      vsincos(p * get(h.freq + i, k), &sn, &cs);
      put(sine + i, sn, k);
      put(cosine + i, cs, k);
    });
  }
};

template <class T>
UM_INLINE void head_forward(const T* x, T* y, const Heads& h, const Angles& angles, float eps, float* rstd) {
  const float squares = row_sum(h.dim, [=](int64_t i, int k) UM_BODY {
    const Vf v = get(x + i, k);
    return v * v;
  });
  *rstd = 1.0f / __builtin_sqrtf(squares / static_cast<float>(h.dim) + eps);
  const Vf scale = splat(*rstd);
  const int64_t half = h.half();
  each_vector(0, half, [&](int64_t i, int k) UM_BODY {
    const Vf u = get(x + i, k) * scale * get(h.w + i, k);
    const Vf v = get(x + half + i, k) * scale * get(h.w + half + i, k);
    const Vf sn = get(angles.sine + i, k), cs = get(angles.cosine + i, k);
    put(y + i, fnma(v, sn, u * cs), k);
    put(y + half + i, fma(u, sn, v * cs), k);
  });
}

// The gradient rotated back goes through the norm: dx = rstd (g w - n mean(g w n)) with n = x rstd. Adds this head's
// share of dw where its accumulator is given.
template <class T>
UM_INLINE void head_backward(const T* dy, const T* x, T* dx, const Heads& h, const Angles& angles, float rstd,
                             float* dw) {
  alignas(64) float slope[2 * kMaxHalf];
  const Vf scale = splat(rstd);
  const int64_t half = h.half();
  Vf dot = vzero();
  each_vector(0, half, [&](int64_t i, int k) UM_BODY {
    const Vf a = get(dy + i, k), b = get(dy + half + i, k);
    const Vf sn = get(angles.sine + i, k), cs = get(angles.cosine + i, k);
    const Vf g1 = fma(b, sn, a * cs), g2 = fnma(a, sn, b * cs);
    const Vf n1 = get(x + i, k) * scale, n2 = get(x + half + i, k) * scale;
    if (dw != nullptr) {
      put(dw + i, fma(g1, n1, get(dw + i, k)), k);
      put(dw + half + i, fma(g2, n2, get(dw + half + i, k)), k);
    }
    const Vf s1 = g1 * get(h.w + i, k), s2 = g2 * get(h.w + half + i, k);
    put(slope + i, s1, k);
    put(slope + half + i, s2, k);
    dot = fma(s2, n2, fma(s1, n1, dot));
  });
  const Vf back = splat(rstd * rstd * (reduce_add(dot) / static_cast<float>(h.dim)));
  each_vector(0, h.dim, [&](int64_t i, int k) UM_BODY {
    put(dx + i, fnma(get(x + i, k), back, get(slope + i, k) * scale), k);
  });
}

// Reads the buffers at w, pos and freq; a null w means that something does not fit.
Heads read_heads(const KernelArgs& a, int w, int pos, int freq) {
  Heads h{a.i(1), a.i(2), a.i(3), nullptr, a.ptr<float>(freq), a.ptr<int32_t>(pos)};
  const bool fits = h.dim > 0 && h.dim % 2 == 0 && h.dim <= 2 * kMaxHalf && h.tokens >= 0 && h.heads >= 0 &&
                    a.has(w, h.dim * 4) && holds(a, pos, h.tokens, 1, 4) && a.has(freq, h.half() * 4) &&
                    bytes_of(h.heads, h.dim, 4) >= 0;
  if (fits) h.w = a.ptr<float>(w);
  return h;
}

Status norm_rope(const KernelArgs& a) {
  const Heads h = read_heads(a, 1, 2, 3);
  if (h.w == nullptr) return fail(Status::bad_argument, "norm_rope: a buffer, or a head dimension odd or above 1024");
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, h.tokens, h.width(), sizeof(T)) || !holds(a, 4, h.tokens, h.width(), sizeof(T)) ||
        !holds(a, 5, h.tokens, h.heads, 4))
      return too_small();
    const T* x = a.ptr<T>(0);
    T* y = a.ptr<T>(4);
    float* rstd = a.ptr<float>(5);
    const float eps = a.f(4);
    parallel(h.tokens, row_grain(h.width()), [=](int64_t begin, int64_t end) {
      Angles angles;
      for (int64_t t = begin; t < end; ++t) {
        angles.at(h, t);
        for (int64_t i = t * h.heads; i < (t + 1) * h.heads; ++i)
          head_forward<T>(x + i * h.dim, y + i * h.dim, h, angles, eps, rstd + i);
      }
    });
    return Status::ok;
  });
}

template <class T>
Status backward(const KernelArgs& a, const Heads& h) {
  const T *dy = a.ptr<T>(0), *x = a.ptr<T>(1);
  const float* rstd = a.ptr<float>(3);
  T* dx = a.ptr<T>(6);
  float* dw = a.ptr<float>(7);
  const auto tokens = [=](int64_t begin, int64_t end, float* accumulator) UM_BODY {
    Angles angles;
    for (int64_t t = begin; t < end; ++t) {
      angles.at(h, t);
      for (int64_t i = t * h.heads; i < (t + 1) * h.heads; ++i)
        head_backward<T>(dy + i * h.dim, x + i * h.dim, dx + i * h.dim, h, angles, rstd[i], accumulator);
    }
  };
  if (dw == nullptr) {
    parallel(h.tokens, row_grain(h.width()), [=](int64_t begin, int64_t end) { tokens(begin, end, nullptr); });
    return Status::ok;
  }
  const RowChunks chunks(h.tokens);
  auto* partial = static_cast<float*>(scratch(1, static_cast<size_t>(chunks.count * h.dim + 1) * 4));
  if (partial == nullptr) return no_scratch();
  parallel(chunks.count, row_grain(chunks.size * h.width()), [=](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      float* accumulator = partial + c * h.dim;
      __builtin_memset(accumulator, 0, static_cast<size_t>(h.dim) * 4);
      const int64_t last = (c + 1) * chunks.size < h.tokens ? (c + 1) * chunks.size : h.tokens;
      tokens(c * chunks.size, last, accumulator);
    }
  });
  add_partials(partial, h.dim, chunks.count, h.dim, dw);
  return Status::ok;
}

Status norm_rope_grad(const KernelArgs& a) {
  const Heads h = read_heads(a, 2, 4, 5);
  if (h.w == nullptr) return fail(Status::bad_argument, "norm_rope: a buffer, or a head dimension odd or above 1024");
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, h.tokens, h.width(), sizeof(T)) || !holds(a, 1, h.tokens, h.width(), sizeof(T)) ||
        !holds(a, 3, h.tokens, h.heads, 4) || !holds(a, 6, h.tokens, h.width(), sizeof(T)) ||
        !holds_or_absent(a, 7, h.dim, 1, 4))
      return too_small();
    return backward<T>(a, h);
  });
}

}  // namespace

void register_norm_rope(KernelTable& t) {
  t.fn[k_norm_rope] = norm_rope;
  t.fn[k_norm_rope_grad] = norm_rope_grad;
}

}  // namespace unimoer::UNIMOER_ISA_NS
