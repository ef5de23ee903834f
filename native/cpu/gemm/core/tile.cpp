#include "cpu/gemm/core/core.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// Reading ahead pays where a line serves one step of a panel, which is 16 lanes wide; on narrower vectors its share of
// the load slots costs 4 to 8 % and the hardware reads ahead as well.
constexpr bool kReadAhead = kLanes == 16;

UM_INLINE Vf splat_word(uint32_t w) { return splat(bit_cast_to<float>(w)); }
UM_INLINE Vf load_word_vector(const uint32_t* p) { return load(reinterpret_cast<const float*>(p)); }

// Words of up to 14 rows at a step of k, side by side or each row in its place. Then two bases and three index
// registers reach all rows, which the compiler does not find by itself.
template <bool kDirect>
struct Rows {
  const char *base, *middle;
  int64_t one, three, five;  // bytes

  UM_INLINE explicit Rows(const Tile& t)
      : base(reinterpret_cast<const char*>(t.a)), one(kDirect ? t.a_stride * 4 : 4), three(3 * one), five(5 * one) {
    middle = base + 7 * one;
#if defined(__x86_64__)
    if constexpr (kDirect) __asm__("" : "+r"(middle), "+r"(three), "+r"(five));
#endif
  }
  UM_INLINE Vf splat(int i, int word = 0) const {
    const char* from = kDirect && i >= 7 ? middle : base;
    const int j = i % 7;
    const int64_t at = j == 0 ? 0 : j == 3 ? three : j == 5 ? five : j == 6 ? 2 * three : j * one;
    return splat_word(*reinterpret_cast<const uint32_t*>(from + (kDirect ? at + word * 4 : i * 4)));
  }
  UM_INLINE void advance(int64_t words) { base += words * 4, middle += words * 4; }
};

template <Compute kCompute, int kRows, int kVectors, bool kDirect>
void tile(const Tile& t) {
  static_assert(kRows <= 14);
  constexpr int kWidthWords = kVectors * kLanes;
  Vf acc[kRows][kVectors];
#pragma GCC unroll 2
  for (int j = 0; j < kVectors; ++j) {
    const Vf start = t.bias ? load(t.bias + j * kLanes) : splat(0.0f);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) acc[i][j] = start;
  }
  if (kCompute == Compute::floats && t.start) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) acc[i][j] = load(t.start + i * kPanel + j * kLanes);
  }
  // The lines of the result, and of what is added to it, are on their way from memory while the sums are formed.
  const auto fetch = [&](const void* from, int64_t stride, bool half) UM_BODY {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const char* line = static_cast<const char*>(from) + i * stride * (half ? 2 : 4);
      __builtin_prefetch(line, 1, 3);
      __builtin_prefetch(line + kVectors * kLanes * 2 - 1, 1, 3);
      if (!half) __builtin_prefetch(line + kVectors * kLanes * 4 - 1, 1, 3);
    }
  };
  if (kReadAhead) fetch(t.out, t.out_stride, t.half);
  if (kReadAhead && t.init && t.init != t.out) fetch(t.init, t.init_stride, t.init_half);
  Rows<kDirect> a(t);
  const uint32_t* b = t.b;
  [[maybe_unused]] const uint32_t* next = t.next;
  for (int64_t s = t.steps; s > 0; --s) {
    if constexpr (kCompute == Compute::floats) {
      Vf y[kVectors];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) y[j] = load_word_vector(b + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const Vf x = a.splat(i);
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) acc[i][j] = fma(x, y[j], acc[i][j]);
      }
      a.advance(kDirect ? 1 : kRows);
    }
#if defined(UM_HAS_BF16_DOT)
    if constexpr (kCompute == Compute::pairs) {
      Vi y[kVectors];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) y[j] = (Vi)load_word_vector(b + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        Vi x = (Vi)a.splat(i);
        // Used once, the broadcast would be folded into the dot instruction, which then takes 2.5 cycles.
        if constexpr (kVectors == 1) keep_in_register(x);
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) acc[i][j] = dot_pair(x, y[j], acc[i][j]);
      }
      a.advance(kDirect ? 1 : kRows);
    }
#endif
    if constexpr (kCompute == Compute::wide) {
      Vf y[kVectors];
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) {
          const Vi pair = (Vi)load_word_vector(b + j * kLanes);
          y[j] = half ? (Vf)(pair & (Vi)splat_word(0xffff0000u)) : (Vf)(pair << 16);
        }
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
          const Vf x = a.splat(i, half);
#pragma GCC unroll 2
          for (int j = 0; j < kVectors; ++j) acc[i][j] = fma(x, y[j], acc[i][j]);
        }
        if constexpr (!kDirect) a.advance(kRows);
      }
      if constexpr (kDirect) a.advance(2);
    }
    b += kWidthWords;
    if constexpr (kReadAhead) {
      __builtin_prefetch(next, 0, 2);
      next += 16;
    }
  }
  const auto add = [&](auto* from) UM_BODY {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) acc[i][j] = acc[i][j] + load(from + i * t.init_stride + j * kLanes);
  };
  if (t.init && t.init_half)
    add(static_cast<const bf16*>(t.init));
  else if (t.init)
    add(static_cast<const float*>(t.init));
  const auto put = [&](auto* out) UM_BODY {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) store(out + i * t.out_stride + j * kLanes, acc[i][j]);
  };
  if (t.half)
    put(static_cast<bf16*>(t.out));
  else
    put(static_cast<float*>(t.out));
}

template <Compute kCompute, bool kDirect, int kRows = kCompute == Compute::wide ? kWideRows : kTileRows>
TileFn find(int rows, int vectors) {
  if (rows == kRows) return vectors == 1 ? tile<kCompute, kRows, 1, kDirect> : tile<kCompute, kRows, 2, kDirect>;
  if constexpr (kRows > 1)
    return find<kCompute, kDirect, kRows - 1>(rows, vectors);
  else
    return nullptr;
}

template <Compute kCompute>
TileFn find(int rows, int vectors, bool direct) {
  return direct ? find<kCompute, true>(rows, vectors) : find<kCompute, false>(rows, vectors);
}

}  // namespace

TileFn tile_kernel(Compute c, int rows, int vectors, bool direct) {
#if defined(UM_HAS_BF16_DOT)
  if (c == Compute::pairs) return find<Compute::pairs>(rows, vectors, direct);
#endif
  return c == Compute::wide ? find<Compute::wide>(rows, vectors, direct) : find<Compute::floats>(rows, vectors, direct);
}

Compute compute_for(int dtype_a, int dtype_b) {
  if (dtype_b == kF32) return Compute::floats;
#if defined(UM_HAS_BF16_DOT)
  if (dtype_a == kBF16) return Compute::pairs;
#endif
  (void)dtype_a;
  return Compute::wide;
}

Compute compute_unpacked(int dtype_a, int dtype_b) {
  const Compute c = compute_for(dtype_a, dtype_b);
  return c == Compute::wide ? Compute::floats : c;
}

}  // namespace unimoer::UNIMOER_ISA_NS
