// Elementary functions on Vf. The polynomials are minimax fits made for these ranges; the comments
// give the error of the fit in exact arithmetic.
#pragma once

namespace unimoer::UNIMOER_ISA_NS {
namespace {

typedef uint32_t Vu __attribute__((vector_size(sizeof(Vf))));

UM_INLINE Vf vzero() { return splat(0.0f); }
UM_INLINE Vf vneg(Vf a) { return (Vf)((Vi)a ^ static_cast<int32_t>(0x80000000)); }
UM_INLINE Vf vabs(Vf a) { return (Vf)((Vi)a & 0x7fffffff); }
UM_INLINE Vf with_sign(Vf magnitude, Vf sign) {
  return (Vf)((Vi)magnitude | ((Vi)sign & static_cast<int32_t>(0x80000000)));
}
UM_INLINE Vf choose(Vi mask, Vf a, Vf b) { return mask ? a : b; }

// Lanes n and above replaced by `other`.
UM_INLINE Vf keep(Vf v, int n, Vf other) {
  Vi lane;
  for (int i = 0; i < kWidth; ++i) lane[i] = i;
  return n == kWidth ? v : choose((Vi)(lane < n), v, other);
}

template <int N>
UM_INLINE Vf horner(Vf x, const float (&c)[N]) {
  Vf r = splat(c[N - 1]);
#pragma GCC unroll 20
  for (int i = N - 2; i >= 0; --i) r = fma(r, x, splat(c[i]));
  return r;
}

// e^x for all x; relative error about 1e-7, NaN stays NaN, underflow goes to zero.
UM_INLINE Vf vexp(Vf x) {
  x = vmin(splat(89.0f), vmax(splat(-104.0f), x));
  const Vf n = round_even(x * splat(1.44269504f));
  Vf r = fnma(n, splat(0.693359375f), x);
  r = fnma(n, splat(-0.00021219444f), r);
  static constexpr float c[] = {4.999999404e-01f, 1.666652113e-01f, 4.166838899e-02f,
                                8.368716575e-03f, 1.381459879e-03f};  // 3e-9 relative
  const Vf p = fma(horner(r, c), r * r, r + splat(1.0f));
  return scale2(p, n);
}

// 2^x for softmax weights, x <= 0 or a little above: 3e-6 relative when Short (enough before a
// rounding to bf16), else 1e-7.
template <bool Short>
UM_INLINE Vf vexp2(Vf x) {
  x = vmax(splat(-150.0f), x);
  const Vf n = round_even(x);
  const Vf r = x - n;
  if constexpr (Short) {
    static constexpr float c[] = {1.0f, 6.931241751e-01f, 2.402409911e-01f, 5.590642616e-02f,
                                  9.582852945e-03f};
    return scale2(horner(r, c), n);
  } else {
    static constexpr float c[] = {1.0f,           6.931470037e-01f, 2.402224243e-01f,
                                  5.550733581e-02f, 9.671512991e-03f, 1.326472731e-03f};
    return scale2(horner(r, c), n);
  }
}

// Natural logarithm; -inf at 0, NaN below.
UM_INLINE Vf vlog(Vf x) {
  const Vi tiny = (Vi)(x < splat(1.17549435e-38f));
  const Vf s = choose(tiny, x * splat(16777216.0f), x);
  const Vu bits = (Vu)s;
  // Puts the mantissa in [sqrt(1/2), sqrt(2)).
  const Vi e = (Vi)(bits - 0x3f3504f3u) >> 23;
  const Vf m = (Vf)(bits - ((Vu)e << 23));
  const Vf k = to_vf(e) - choose(tiny, splat(24.0f), vzero());
  const Vf f = m - splat(1.0f);
  static constexpr float c[] = {3.333333135e-01f, -2.500081956e-01f, 2.000122666e-01f,
                                -1.662335694e-01f, 1.420175880e-01f, -1.316018254e-01f,
                                1.276157498e-01f, -7.634492964e-02f};  // 6e-9 relative
  const Vf f2 = f * f;
  Vf r = f2 * f * horner(f, c);
  r = fma(k, splat(-0.00021219444f), r);
  r = fma(f2, splat(-0.5f), r) + f;
  r = fma(k, splat(0.693359375f), r);
  r = choose((Vi)(x == vzero()), splat(-__builtin_inff()), r);
  r = choose((Vi)(x == splat(__builtin_inff())), x, r);
  return choose((Vi)(x >= vzero()), r, splat(__builtin_nanf("")));
}

UM_INLINE Vf vlog1p(Vf e) {
  const Vf u = splat(1.0f) + e;
  const Vf d = u - splat(1.0f);
  return choose((Vi)(d == vzero()), e, vlog(u) * (e / d));
}

UM_INLINE Vf vtanh(Vf x) {
  const Vf a = vabs(x);
  const Vf big = splat(1.0f) - splat(2.0f) / (vexp(a + a) + splat(1.0f));
  static constexpr float c[] = {-3.333328664e-01f, 1.333154887e-01f, -5.374911800e-02f,
                                2.067148499e-02f, -5.743010435e-03f};  // 4e-9 up to 0.62
  const Vf u = a * a;
  const Vf small = fma(a * u, horner(u, c), a);
  return with_sign(choose((Vi)(a < splat(0.6f)), small, big), x);
}

// 1/x for normal x > 0: to the last bit or two, or to 2^-14 when Short.
template <bool Short>
UM_INLINE Vf vreciprocal(Vf x) {
#if defined(__AVX512F__)
  const Vf y = _mm512_rcp14_ps(x);
  return Short ? y : fma(y, fnma(x, y, splat(1.0f)), y);
#else
  return splat(1.0f) / x;
#endif
}

template <bool Short>
UM_INLINE Vf vsigmoid(Vf x) {
  // The bounds keep 1 + e^-x finite.
  if constexpr (Short) {
    const Vf e = vexp2<true>(vmin(splat(125.0f), x * splat(-1.44269504f)));
    return vreciprocal<true>(splat(1.0f) + e);
  }
  return vreciprocal<false>(splat(1.0f) + vexp(vneg(vmax(splat(-87.0f), x))));
}

// Normal distribution function minus one half. An odd polynomial in x over the clamped range, in
// t = 2 (x/a)^2 - 1 so that it stays well conditioned; 3e-8 absolute, and when Short 1e-5 in x times it.
template <bool Short>
UM_INLINE Vf normal_cdf_centered(Vf x) {
  if constexpr (Short) {
    constexpr float a = 4.6f;
    static constexpr float c[] = {
        1.535435468e-01f,  -7.575745136e-02f, 5.413160846e-02f,  -4.058559984e-02f,
        2.956469730e-02f,  -1.915553398e-02f, 1.087122038e-02f,  -7.624557242e-03f,
        5.669157021e-03f,  -1.962347887e-03f};
    const Vf y = vmin(splat(a), vmax(splat(-a), x));
    return y * horner(fma(y * y, splat(2.0f / (a * a)), splat(-1.0f)), c);
  } else {
    constexpr float a = 5.4f;
    static constexpr float c[] = {
        1.309281141e-01f,  -6.532805413e-02f, 4.849959165e-02f,  -3.920681402e-02f,
        3.211659566e-02f,  -2.574645728e-02f, 1.964514330e-02f,  -1.396332029e-02f,
        9.651197121e-03f,  -6.715337746e-03f, 3.658920759e-03f,  -1.186410780e-03f,
        8.749350091e-04f,  -1.028368715e-03f, 3.928583756e-04f};
    const Vf y = vmin(splat(a), vmax(splat(-a), x));
    return y * horner(fma(y * y, splat(2.0f / (a * a)), splat(-1.0f)), c);
  }
}

// x * Phi(x); exactly zero in the far left tail, where x would amplify the fit's error.
template <bool Short>
UM_INLINE Vf vgelu(Vf x) {
  const Vf phi = splat(0.5f) + normal_cdf_centered<Short>(x);
  return x * choose((Vi)(x < splat(Short ? -4.6f : -5.4f)), vzero(), phi);
}

// d/dx of x Phi(x) = Phi(x) + x phi(x), fitted as a whole: 3e-8 absolute, 5e-5 when Short.
template <bool Short>
UM_INLINE Vf vgelu_slope(Vf x) {
  if constexpr (Short) {
    constexpr float a = 4.6f;
    static constexpr float c[] = {
        1.555562615e-01f,  -8.645951003e-02f, 8.222127706e-02f,  -8.889690787e-02f,
        9.536661208e-02f,  -9.623207152e-02f, 7.306471467e-02f,  -3.630386293e-02f,
        3.161497042e-02f,  -3.665365651e-02f, 1.543100271e-02f};
    const Vf y = vmin(splat(a), vmax(splat(-a), x));
    return fma(y, horner(fma(y * y, splat(2.0f / (a * a)), splat(-1.0f)), c), splat(0.5f));
  } else {
    constexpr float a = 5.4f;
    static constexpr float c[] = {
        1.312003136e-01f,  -6.731224805e-02f, 5.573337153e-02f,  -5.679338053e-02f,
        6.413890421e-02f,  -7.231688499e-02f, 7.645969093e-02f,  -7.387035340e-02f,
        6.333969533e-02f,  -4.775144905e-02f, 3.548370674e-02f,  -2.689404041e-02f,
        1.425096858e-02f,  -3.577235853e-03f, 3.090776503e-03f,  -4.130215384e-03f,
        1.541149104e-03f};
    const Vf y = vmin(splat(a), vmax(splat(-a), x));
    return fma(y, horner(fma(y * y, splat(2.0f / (a * a)), splat(-1.0f)), c), splat(0.5f));
  }
}

// Sine and cosine after removing multiples of pi/2; good to 1e-7 for |x| < 1e5.
UM_INLINE void vsincos(Vf x, Vf* s, Vf* c) {
  const Vf k = round_even(x * splat(0.636619772f));
#if defined(__FMA__)
  Vf r = fnma(k, splat(1.57079637f), x);
  r = fnma(k, splat(-4.37113883e-8f), r);
#else
  Vf r;
  for (int i = 0; i < kWidth; ++i) {
    r[i] = static_cast<float>(static_cast<double>(x[i]) - k[i] * 1.5707963267948966);
  }
#endif
  const Vf u = r * r;
  static constexpr float cs[] = {-1.666665524e-01f, 8.332155645e-03f, -1.951463200e-04f};
  static constexpr float cc[] = {4.166664556e-02f, -1.388730947e-03f, 2.443241283e-05f};
  const Vf sn = fma(r * u, horner(u, cs), r);
  const Vf cn = fma(u * u, horner(u, cc), fma(u, splat(-0.5f), splat(1.0f)));
  const Vi q = to_int(k);
  const Vi swap = (q & 1) != 0;
  const Vf a = choose(swap, cn, sn);
  const Vf b = choose(swap, sn, cn);
  *s = (Vf)((Vi)a ^ ((q & 2) << 30));
  *c = (Vf)((Vi)b ^ (((q + 1) & 2) << 30));
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
