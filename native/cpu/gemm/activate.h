// Activations of whole rows, by code, as the feed-forward part of a layer has them.
#pragma once
#include "cpu/simd/activations.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

enum Activation { kRelu = 0, kGelu = 1, kGeluTanh = 2, kSwiglu = 3 };

template <class T, class F>
UM_INLINE void map_rows(int64_t n, T* out, const F& f) {
  each_vector(0, n, [=](int64_t i, int k) UM_BODY { put(out + i, f(i, k), k); });
}

// out = act(u), or silu(g) u.
template <class T>
void activate(int activation, const T* u, const T* g, int64_t n, T* out) {
  constexpr bool kShort = sizeof(T) == 2;
  switch (activation) {
    case kRelu: return map_rows(n, out, [=](int64_t i, int k) UM_BODY { return Relu::of<kShort>(get(u + i, k)); });
    case kGelu: return map_rows(n, out, [=](int64_t i, int k) UM_BODY { return Gelu::of<kShort>(get(u + i, k)); });
    case kGeluTanh:
      return map_rows(n, out, [=](int64_t i, int k) UM_BODY { return GeluTanh::of<kShort>(get(u + i, k)); });
    default:
      return map_rows(n, out, [=](int64_t i, int k) UM_BODY { return Swiglu::of<kShort>(get(g + i, k), get(u + i, k)); });
  }
}

// du = d act'(u), or both gradients of silu(g) u; du may be d.
template <class T>
void slope(int activation, const T* d, const T* u, const T* g, int64_t n, T* du, T* dg) {
  constexpr bool kShort = sizeof(T) == 2;
  const auto times = [=](auto op) UM_BODY {
    using Op = decltype(op);
    map_rows(n, du, [=](int64_t i, int k) UM_BODY { return get(d + i, k) * Op::template slope<kShort>(get(u + i, k)); });
  };
  switch (activation) {
    case kRelu: return times(Relu{});
    case kGelu: return times(Gelu{});
    case kGeluTanh: return times(GeluTanh{});
    default:
      each_vector(0, n, [=](int64_t i, int k) UM_BODY {
        Vf to_gate, to_up;
        Swiglu::gradient<kShort>(get(d + i, k), get(g + i, k), get(u + i, k), &to_gate, &to_up);
        put(dg + i, to_gate, k);
        put(du + i, to_up, k);
      });
  }
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
