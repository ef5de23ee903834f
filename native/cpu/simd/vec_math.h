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

// 2^x for softmax weights: 3e-6 relative when Short (enough before a rounding to bf16), else 1e-7; 0 at -inf.
template <bool Short>
UM_INLINE Vf vexp2(Vf x) {
#if defined(__AVX512F__)
  // 2^floor(x) p(x - floor(x)); the scaling takes the floor by itself.
  const Vf r = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  if constexpr (Short) {
    static constexpr float c[] = {1.0f, 6.930446820e-01f, 2.412811160e-01f, 5.224102480e-02f, 1.342739780e-02f};
    return scale2(horner(r, c), x);
  } else {
    static constexpr float c[] = {1.0f,           6.931511480e-01f, 2.401645810e-01f,
                                  5.580130130e-02f, 9.014210630e-03f, 1.868606760e-03f};
    return scale2(horner(r, c), x);
  }
#else
  x = vmax(splat(-150.0f), x);
  const Vf n = round_even(x);
  const Vf r = x - n;
  if constexpr (Short) {
    static constexpr float c[] = {1.0f, 6.931241751e-01f, 2.402409911e-01f, 5.590642616e-02f, 9.582852945e-03f};
    return scale2(horner(r, c), n);
  } else {
    static constexpr float c[] = {1.0f,           6.931470037e-01f, 2.402224243e-01f,
                                  5.550733581e-02f, 9.671512991e-03f, 1.326472731e-03f};
    return scale2(horner(r, c), n);
  }
#endif
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

// Normal distribution function minus one half: an odd polynomial in x over the clamped range, in
// t = 2 (x/a)^2 - 1 so that it stays well conditioned; 3e-8 absolute.
UM_INLINE Vf normal_cdf_centered(Vf x) {
  constexpr float a = 5.4f;
  static constexpr float c[] = {
      1.309281141e-01f,  -6.532805413e-02f, 4.849959165e-02f,  -3.920681402e-02f,
      3.211659566e-02f,  -2.574645728e-02f, 1.964514330e-02f,  -1.396332029e-02f,
      9.651197121e-03f,  -6.715337746e-03f, 3.658920759e-03f,  -1.186410780e-03f,
      8.749350091e-04f,  -1.028368715e-03f, 3.928583756e-04f};
  const Vf y = vmin(splat(a), vmax(splat(-a), x));
  return y * horner(fma(y * y, splat(2.0f / (a * a)), splat(-1.0f)), c);
}

// x * Phi(x); exactly zero in the far left tail, where x would amplify the fit's error. When Short, the fit of
// Phi is 0 at -4.2 and is not left again, with an error of 2^-9.8 x Phi(x), or 6e-5 where that is smaller than 0.05.
template <bool Short>
UM_INLINE Vf vgelu(Vf x) {
  if constexpr (Short) {
    constexpr float a = 4.2f;
    static constexpr float c[] = {3.980227360e-01f,  -6.503480470e-02f, 9.095084650e-03f,  -9.089775190e-04f,
                                  6.217421990e-05f, -2.738607520e-06f, 6.942927130e-08f, -7.655042080e-10f};
    const Vf z = vmax(splat(-a), x), y = vmin(splat(a), z);
    return z * fma(y, horner(y * y, c), splat(0.5f));
  } else {
    const Vf phi = splat(0.5f) + normal_cdf_centered(x);
    return x * choose((Vi)(x < splat(-5.4f)), vzero(), phi);
  }
}

// d/dx of x Phi(x) = Phi(x) + x phi(x), fitted as a whole: 3e-8 absolute, 4.4e-4 (a quarter of a step of bf16 at
// the slope 1) when Short.
template <bool Short>
UM_INLINE Vf vgelu_slope(Vf x) {
  if constexpr (Short) {
    constexpr float a = 4.2f;
    static constexpr float c[] = {7.960172660e-01f,  -2.601774210e-01f, 5.453936260e-02f,  -7.245194060e-03f,
                                  6.156568580e-04f, -3.225200480e-05f, 9.435811060e-07f, -1.174782150e-08f};
    const Vf y = vmin(splat(a), vmax(splat(-a), x));
    return fma(y, horner(y * y, c), splat(0.5f));
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
