// One-argument functions and the gradients of the activations.
#include "../simd/activations.h"
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int64_t kUnaryGrain = 16384;

// Op::of<Short>(x): Short lets bf16 storage use a cheaper fit.
template <class Op>
Status unary(const KernelArgs& a) {
  const int64_t n = a.i(1);
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, n, 1, sizeof(T)) || !holds(a, 1, n, 1, sizeof(T))) return too_small();
    const T* x = a.ptr<T>(0);
    T* y = a.ptr<T>(1);
    parallel(n, kUnaryGrain, [=](int64_t begin, int64_t end) {
      each_vector(begin, end, [=](int64_t i, int k) UM_BODY {
        put(y + i, Op::template of<sizeof(T) == 2>(get(x + i, k)), k);
      });
    });
    return Status::ok;
  });
}

// Op::slope<Short>(x) is the derivative at x.
template <class Op>
Status unary_grad(const KernelArgs& a) {
  const int64_t n = a.i(1);
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    for (int b = 0; b < 3; ++b) {
      if (!holds(a, b, n, 1, sizeof(T))) return too_small();
    }
    const T* dy = a.ptr<T>(0);
    const T* x = a.ptr<T>(1);
    T* dx = a.ptr<T>(2);
    parallel(n, kUnaryGrain, [=](int64_t begin, int64_t end) {
      each_vector(begin, end, [=](int64_t i, int k) UM_BODY {
        put(dx + i, get(dy + i, k) * Op::template slope<sizeof(T) == 2>(get(x + i, k)), k);
      });
    });
    return Status::ok;
  });
}

#define UM_FUNCTION(name, expression) \
  struct name {                       \
    template <bool Short>             \
    UM_INLINE static Vf of(Vf x) {    \
      return expression;              \
    }                                 \
  };
UM_FUNCTION(Neg, vneg(x))
UM_FUNCTION(Exp, vexp(x))
UM_FUNCTION(Log, vlog(x))
UM_FUNCTION(Sqrt, vsqrt(x))
UM_FUNCTION(Square, x* x)
UM_FUNCTION(Abs, vabs(x))
UM_FUNCTION(Tanh, vtanh(x))
UM_FUNCTION(Sigmoid, vsigmoid<Short>(x))
UM_FUNCTION(Softplus, vmax(vzero(), x) + vlog1p(vexp(vneg(vabs(x)))))
#undef UM_FUNCTION

Status swiglu(const KernelArgs& a) {
  const int64_t n = a.i(1);
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    for (int b = 0; b < 3; ++b) {
      if (!holds(a, b, n, 1, sizeof(T))) return too_small();
    }
    const T* g = a.ptr<T>(0);
    const T* u = a.ptr<T>(1);
    T* y = a.ptr<T>(2);
    parallel(n, kUnaryGrain, [=](int64_t begin, int64_t end) {
      each_vector(begin, end, [=](int64_t i, int k) UM_BODY {
        put(y + i, Swiglu::of<sizeof(T) == 2>(get(g + i, k), get(u + i, k)), k);
      });
    });
    return Status::ok;
  });
}

Status swiglu_grad(const KernelArgs& a) {
  const int64_t n = a.i(1);
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    for (int b = 0; b < 5; ++b) {
      if (!holds(a, b, n, 1, sizeof(T))) return too_small();
    }
    const T* dy = a.ptr<T>(0);
    const T* g = a.ptr<T>(1);
    const T* u = a.ptr<T>(2);
    T* dg = a.ptr<T>(3);
    T* du = a.ptr<T>(4);
    parallel(n, kUnaryGrain, [=](int64_t begin, int64_t end) {
      each_vector(begin, end, [=](int64_t i, int k) UM_BODY {
        Vf to_gate, to_up;
        Swiglu::gradient<sizeof(T) == 2>(get(dy + i, k), get(g + i, k), get(u + i, k), &to_gate, &to_up);
        put(dg + i, to_gate, k);
        put(du + i, to_up, k);
      });
    });
    return Status::ok;
  });
}

}  // namespace

void register_unary(KernelTable& t) {
  t.fn[k_neg] = unary<Neg>;
  t.fn[k_exp] = unary<Exp>;
  t.fn[k_log] = unary<Log>;
  t.fn[k_sqrt] = unary<Sqrt>;
  t.fn[k_square] = unary<Square>;
  t.fn[k_abs] = unary<Abs>;
  t.fn[k_tanh] = unary<Tanh>;
  t.fn[k_sigmoid] = unary<Sigmoid>;
  t.fn[k_relu] = unary<Relu>;
  t.fn[k_silu] = unary<Silu>;
  t.fn[k_softplus] = unary<Softplus>;
  t.fn[k_gelu] = unary<Gelu>;
  t.fn[k_gelu_tanh] = unary<GeluTanh>;
  t.fn[k_silu_grad] = unary_grad<Silu>;
  t.fn[k_gelu_grad] = unary_grad<Gelu>;
  t.fn[k_gelu_tanh_grad] = unary_grad<GeluTanh>;
  t.fn[k_swiglu] = swiglu;
  t.fn[k_swiglu_grad] = swiglu_grad;
}

}  // namespace unimoer::UNIMOER_ISA_NS
