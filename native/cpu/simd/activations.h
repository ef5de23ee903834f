// Activations and their slopes; Short lets bf16 storage use a cheaper fit.
#pragma once
#include "kernel_util.h"
#include "vec_math.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

struct Relu {
  template <bool Short>
  UM_INLINE static Vf of(Vf x) {
    return vmax(vzero(), x);
  }
  template <bool Short>
  UM_INLINE static Vf slope(Vf x) {
    return choose((Vi)(x > vzero()), splat(1.0f), vzero());
  }
};

struct Silu {
  template <bool Short>
  UM_INLINE static Vf of(Vf x) {
    return x * vsigmoid<Short>(x);
  }
  template <bool Short>
  UM_INLINE static Vf slope(Vf x) {
    const Vf s = vsigmoid<Short>(x);
    return s * fma(x, splat(1.0f) - s, splat(1.0f));
  }
};

struct Gelu {
  template <bool Short>
  UM_INLINE static Vf of(Vf x) {
    return vgelu<Short>(x);
  }
  template <bool Short>
  UM_INLINE static Vf slope(Vf x) {
    return vgelu_slope<Short>(x);
  }
};

// 0.5 x (1 + tanh(u)) = x sigmoid(2u) with u = sqrt(2/pi) (x + 0.044715 x^3).
struct GeluTanh {
  static constexpr float kTwoRoot = 1.59576912f;  // 2 sqrt(2/pi)
  template <bool Short>
  UM_INLINE static Vf of(Vf x) {
    const Vf u = x * fma(x * x, splat(kTwoRoot * 0.044715f), splat(kTwoRoot));
    return x * vsigmoid<Short>(u);
  }
  template <bool Short>
  UM_INLINE static Vf slope(Vf x) {
    // Beyond 10 the slope is 0 or 1 and x^3 could overflow against a vanishing factor.
    const Vf z = vmin(splat(10.0f), vmax(splat(-10.0f), x));
    const Vf z2 = z * z;
    const Vf s = vsigmoid<Short>(z * fma(z2, splat(kTwoRoot * 0.044715f), splat(kTwoRoot)));
    const Vf du = fma(z2, splat(3.0f * kTwoRoot * 0.044715f), splat(kTwoRoot));
    return s * fma(z * (splat(1.0f) - s), du, splat(1.0f));
  }
};

// silu(g) u, and its gradients for an incoming d.
struct Swiglu {
  template <bool Short>
  UM_INLINE static Vf of(Vf g, Vf u) {
    return Silu::of<Short>(g) * u;
  }
  template <bool Short>
  UM_INLINE static void gradient(Vf d, Vf g, Vf u, Vf* to_gate, Vf* to_up) {
    const Vf s = vsigmoid<Short>(g);
    const Vf silu = g * s;
    *to_gate = d * u * fma(silu, splat(1.0f) - s, s);
    *to_up = d * silu;
  }
};

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
