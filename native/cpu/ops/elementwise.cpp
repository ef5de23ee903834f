// fill, cast, affine, axpby and the four binary operations with their broadcasts.
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// Runs body(i, n) over all elements on the pool.
template <class F>
UM_INLINE Status over_elements(int64_t n, const F& body) {
  parallel(n, kGrain, [&](int64_t begin, int64_t end) { each_vector(begin, end, body); });
  return Status::ok;
}

Status fill(const KernelArgs& a) {
  const int64_t n = a.i(1);
  const double value = a.arg[2];
  const int dtype = static_cast<int>(a.i(0));
  if (dtype == kF64) return bad_dtype();
  if (!holds(a, 0, n, 1, item_bytes(dtype))) return too_small();
  if (dtype == kI32) {
    int32_t* y = a.ptr<int32_t>(0);
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<int32_t>(value);
    return Status::ok;
  }
  return by_dtype(dtype, [&](auto tag) {
    using T = decltype(tag);
    T* y = a.ptr<T>(0);
    const Vf v = splat(static_cast<float>(value));
    return over_elements(n, [=](int64_t i, int k) UM_BODY { put(y + i, v, k); });
  });
}

template <class From, class To>
Status cast_float(const KernelArgs& a, int64_t n) {
  const From* x = a.ptr<From>(0);
  To* y = a.ptr<To>(1);
  return over_elements(n, [=](int64_t i, int k) UM_BODY { put(y + i, get(x + i, k), k); });
}

Status cast(const KernelArgs& a) {
  const int from = static_cast<int>(a.i(0)), to = static_cast<int>(a.i(1));
  const int64_t n = a.i(2);
  if (item_bytes(from) < 0 || item_bytes(to) < 0) return bad_dtype();
  if (!holds(a, 0, n, 1, item_bytes(from)) || !holds(a, 1, n, 1, item_bytes(to))) {
    return too_small();
  }
  if (n == 0) return Status::ok;
  if (from == kI32 && to == kI32) {
    __builtin_memmove(a.buf[1], a.buf[0], static_cast<size_t>(n) * 4);
    return Status::ok;
  }
  if (from == kI32) {
    const int32_t* x = a.ptr<int32_t>(0);
    return by_dtype(to, [&](auto tag) {
      auto* y = a.ptr<decltype(tag)>(1);
      return over_elements(n, [=](int64_t i, int k) UM_BODY {
        put(y + i, to_vf(k == kWidth ? load_int(x + i) : load_int_n(x + i, k)), k);
      });
    });
  }
  if (to == kI32) {
    int32_t* y = a.ptr<int32_t>(1);
    return by_dtype(from, [&](auto tag) {
      const auto* x = a.ptr<decltype(tag)>(0);
      return over_elements(
          n, [=](int64_t i, int k) UM_BODY { store_int_n(y + i, to_int_trunc(get(x + i, k)), k); });
    });
  }
  if (from == kF32) {
    return to == kF32 ? cast_float<float, float>(a, n) : cast_float<float, bf16>(a, n);
  }
  return to == kF32 ? cast_float<bf16, float>(a, n) : cast_float<bf16, bf16>(a, n);
}

Status affine(const KernelArgs& a) {
  const int64_t n = a.i(1);
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, n, 1, sizeof(T)) || !holds(a, 1, n, 1, sizeof(T))) return too_small();
    const T* x = a.ptr<T>(0);
    T* y = a.ptr<T>(1);
    const Vf m = splat(a.f(2)), c = splat(a.f(3));
    return over_elements(
        n, [=](int64_t i, int k) UM_BODY { put(y + i, fma(get(x + i, k), m, c), k); });
  });
}

Status axpby(const KernelArgs& a) {
  const int64_t n = a.i(2);
  return by_dtype(a.i(0), [&](auto tx) {
    return by_dtype(a.i(1), [&](auto ty) {
      using X = decltype(tx);
      using Y = decltype(ty);
      if (!holds(a, 0, n, 1, sizeof(X)) || !holds(a, 1, n, 1, sizeof(Y))) return too_small();
      const X* x = a.ptr<X>(0);
      Y* y = a.ptr<Y>(1);
      const Vf p = splat(a.f(3)), q = splat(a.f(4));
      if (a.f(4) == 0.0f) {  // y may hold anything, NaN included
        return over_elements(n,
                             [=](int64_t i, int k) UM_BODY { put(y + i, p * get(x + i, k), k); });
      }
      return over_elements(n, [=](int64_t i, int k) UM_BODY {
        put(y + i, fma(p, get(x + i, k), q * get(y + i, k)), k);
      });
    });
  });
}

struct Add {
  UM_INLINE static Vf of(Vf x, Vf y) { return x + y; }
};
struct Sub {
  UM_INLINE static Vf of(Vf x, Vf y) { return x - y; }
};
struct Mul {
  UM_INLINE static Vf of(Vf x, Vf y) { return x * y; }
};
struct Div {
  UM_INLINE static Vf of(Vf x, Vf y) { return x / y; }
};

enum Broadcast : int64_t { kSame = 0, kScalar = 1, kRow = 2, kColumn = 3 };

template <class Op, class T, class U>
Status binary_typed(const KernelArgs& a, int64_t mode, int64_t rows, int64_t cols) {
  const int64_t extent_b = mode == kScalar ? 1 : mode == kRow ? cols : rows;
  const bool same = mode == kSame;
  if (!holds(a, 0, rows, cols, sizeof(T)) || !holds(a, 2, rows, cols, sizeof(T)) ||
      !holds(a, 1, same ? rows : extent_b, same ? cols : 1, sizeof(U))) {
    return too_small();
  }
  const T* x = a.ptr<T>(0);
  const U* b = a.ptr<U>(1);
  T* y = a.ptr<T>(2);
  if (rows == 0 || cols == 0) return Status::ok;
  if (mode == kSame) {
    return over_elements(rows * cols, [=](int64_t i, int k) UM_BODY {
      put(y + i, Op::of(get(x + i, k), get(b + i, k)), k);
    });
  }
  if (mode == kScalar) {
    const Vf s = splat(to_float(b[0]));
    return over_elements(
        rows * cols, [=](int64_t i, int k) UM_BODY { put(y + i, Op::of(get(x + i, k), s), k); });
  }
  parallel(rows, row_grain(cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* xr = x + r * cols;
      T* yr = y + r * cols;
      if (mode == kRow) {
        each_vector(0, cols, [=](int64_t i, int k) UM_BODY {
          put(yr + i, Op::of(get(xr + i, k), get(b + i, k)), k);
        });
      } else {
        const Vf s = splat(to_float(b[r]));
        each_vector(0, cols, [=](int64_t i, int k) UM_BODY {
          put(yr + i, Op::of(get(xr + i, k), s), k);
        });
      }
    }
  });
  return Status::ok;
}

template <class Op>
Status binary(const KernelArgs& a) {
  const int64_t mode = a.i(1), rows = a.i(2), cols = a.i(3);
  if (mode < kSame || mode > kColumn) return fail(Status::bad_argument, "broadcast mode not in 0..3");
  return by_dtype(a.i(0), [&](auto t) {
    return by_dtype(a.i(4), [&](auto u) {
      return binary_typed<Op, decltype(t), decltype(u)>(a, mode, rows, cols);
    });
  });
}

}  // namespace

void register_elementwise(KernelTable& t) {
  t.fn[k_fill] = fill;
  t.fn[k_cast] = cast;
  t.fn[k_affine] = affine;
  t.fn[k_axpby] = axpby;
  t.fn[k_add] = binary<Add>;
  t.fn[k_sub] = binary<Sub>;
  t.fn[k_mul] = binary<Mul>;
  t.fn[k_div] = binary<Div>;
}

}  // namespace unimoer::UNIMOER_ISA_NS
