// 4 lanes of the compiler's own vector type: any CPU the compiler targets.
#pragma once

namespace unimoer::UNIMOER_ISA_NS {
namespace {

typedef float Vf __attribute__((vector_size(16)));
typedef int32_t Vi __attribute__((vector_size(16)));
constexpr int kWidth = 4;

UM_INLINE Vf splat(float v) { return Vf{v, v, v, v}; }
template <class V, class T>
UM_INLINE V load_vector(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class V, class T>
UM_INLINE void store_vector(T* p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}
UM_INLINE Vf load(const float* p) { return load_vector<Vf>(p); }
UM_INLINE void store(float* p, Vf v) { store_vector(p, v); }
UM_INLINE Vi load_int(const int32_t* p) { return load_vector<Vi>(p); }
UM_INLINE void store_int(int32_t* p, Vi v) { store_vector(p, v); }
UM_INLINE Vf load(const bf16* p) {
  return Vf{to_float(p[0]), to_float(p[1]), to_float(p[2]), to_float(p[3])};
}
UM_INLINE void store(bf16* p, Vf v) {
  for (int i = 0; i < 4; ++i) p[i] = from_float<bf16>(v[i]);
}
template <class T>
UM_INLINE Vf load_n(const T* p, int n) {
  Vf v = {};
  for (int i = 0; i < 4; ++i) {
    if (i < n) v[i] = to_float(p[i]);
  }
  return v;
}
template <class T>
UM_INLINE void store_n(T* p, Vf v, int n) {
  for (int i = 0; i < 4; ++i) {
    if (i < n) p[i] = from_float<T>(v[i]);
  }
}
UM_INLINE Vi load_int_n(const int32_t* p, int n) {
  Vi v = {};
  for (int i = 0; i < 4; ++i) {
    if (i < n) v[i] = p[i];
  }
  return v;
}
UM_INLINE void store_int_n(int32_t* p, Vi v, int n) {
  for (int i = 0; i < 4; ++i) {
    if (i < n) p[i] = v[i];
  }
}

UM_INLINE Vf fma(Vf a, Vf b, Vf c) { return a * b + c; }
UM_INLINE Vf fnma(Vf a, Vf b, Vf c) { return c - a * b; }
UM_INLINE Vf vmax(Vf a, Vf b) { return a > b ? a : b; }
UM_INLINE bool any_above(Vf a, Vf b) {
  const Vi m = a > b;
  return (m[0] | m[1] | m[2] | m[3]) != 0;
}
UM_INLINE Vf vmin(Vf a, Vf b) { return a < b ? a : b; }
UM_INLINE Vf vsqrt(Vf a) {
  for (int i = 0; i < 4; ++i) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
// Valid for |a| < 2^22, which is all that the callers need.
UM_INLINE Vf round_even(Vf a) {
  const Vf magic = splat(12582912.0f);
  return (a + magic) - magic;
}
UM_INLINE Vi to_int_trunc(Vf a) { return __builtin_convertvector(a, Vi); }
UM_INLINE Vi to_int(Vf a) { return to_int_trunc(round_even(a)); }
UM_INLINE Vf to_vf(Vi a) { return __builtin_convertvector(a, Vf); }
UM_INLINE Vf power2(Vi n) { return (Vf)((n + 127) << 23); }
UM_INLINE Vf scale2(Vf a, Vf n) {
  const Vi k = to_int(n);
  const Vi h = k >> 1;
  return a * power2(h) * power2(k - h);
}
UM_INLINE float reduce_add(Vf a) { return (a[0] + a[2]) + (a[1] + a[3]); }
UM_INLINE float reduce_max(Vf a) {
  const float x = a[0] > a[1] ? a[0] : a[1];
  const float y = a[2] > a[3] ? a[2] : a[3];
  return x > y ? x : y;
}
UM_INLINE Vi pack_pair(Vf a, Vf b) {
  Vi r;
  for (int i = 0; i < 4; ++i) {
    const uint32_t lo = from_float<bf16>(a[i]).bits, hi = from_float<bf16>(b[i]).bits;
    r[i] = static_cast<int32_t>(lo | (hi << 16));
  }
  return r;
}
UM_INLINE void multiply_wide(Vi x, uint32_t m, Vi* low, Vi* high) {
  for (int i = 0; i < 4; ++i) {
    const uint64_t p = static_cast<uint64_t>(static_cast<uint32_t>(x[i])) * m;
    (*low)[i] = static_cast<int32_t>(static_cast<uint32_t>(p));
    (*high)[i] = static_cast<int32_t>(static_cast<uint32_t>(p >> 32));
  }
}
UM_INLINE void interleave4(const Vi (&x)[4], Vi (&y)[4]) {
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) y[i][j] = x[j][i];
  }
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
