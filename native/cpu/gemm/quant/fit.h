// The scale of a group of 4-bit weights. All sums are of integers, so that every instruction set chooses the same.
#pragma once
#include "cpu/gemm/quant/codebook.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr float kSmallest = 0x1p-100f;  // below it a scale would lose bits; such weights become zero
constexpr uint32_t kInfinity = 0x7f800000u;

// The weights of smallest and largest value, as bits. Unlike numbers, these order NaN too.
struct Extremes {
  uint32_t positive = 0, negative = 0;  // magnitudes
  UM_INLINE uint32_t most() const { return positive > negative ? positive : negative; }
};

template <class T>
UM_INLINE Extremes extremes(const T* w, int64_t count) {
  int32_t high = 0;
  uint32_t low = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = bit_cast_to<uint32_t>(to_float(w[i]));
    high = static_cast<int32_t>(bits) > high ? static_cast<int32_t>(bits) : high;
    low = bits > low ? bits : low;
  }
  return {static_cast<uint32_t>(high), low >> 31 ? low & 0x7fffffffu : 0};
}

// Where the group's extreme may lie, in 1/128 of a code: 0.85 to 1.15 times either end of the codes.
constexpr int kTries = 10;
constexpr int32_t kPlaces[kTries] = {-18694, -17475, -16256, -15037, -13818, 11424, 12432, 13440, 14448, 15456};

// Twice the value from which on code j + 1 is nearer than code j.
constexpr int threshold(int j) { return kCodes[j] + kCodes[j + 1]; }

constexpr int kChunk = 32;  // weights at a time

// body(v, i) for each vector of w[0, n), zeros behind its end, up to kChunk.
template <class T, class F>
UM_INLINE void each_of_chunk(const T* w, int n, const F& body) {
#pragma GCC unroll 8
  for (int i = 0; i < kChunk; i += kLanes) body(i < n ? get(w + i, n - i < kLanes ? n - i : kLanes) : splat(0.0f), i);
}

// Sums over a chunk in units of extreme / 32767 of w * code and of code^2 where `valid` is all ones, with the extreme
// at `place`.
UM_INLINE void try_place(const int32_t* units, const int32_t* valid, int32_t place, int64_t& product, int64_t& square) {
  Vi products = {}, squares = {};
#pragma GCC unroll 8
  for (int i = 0; i < kChunk; i += kLanes) {
    const Vi w = load_int(units + i), v = (w * place + (1 << 14)) >> 15;
    Vi code = splat_int(kCodes[0]);
#pragma GCC unroll 15
    for (int j = 0; j < 15; ++j) code += (v > threshold(j) * 64) & (kCodes[j + 1] - kCodes[j]);
    code &= load_int(valid + i);
    products += w * code;
    squares += code * code;
  }
  int32_t lanes[2][kLanes];
  store_int(lanes[0], products);
  store_int(lanes[1], squares);
  for (int i = 0; i < kLanes; ++i) product += lanes[0][i], square += lanes[1][i];
}

// Of some places of the extreme on the grid, with the scale that is best for the codes they give, the one with the
// least squared error: for codes c the best scale is sum w c / sum c^2, which leaves sum w^2 - (sum w c)^2 / sum c^2.
template <class T>
bf16 fit_scale(const T* w, int64_t count, Extremes e) {
  const float extreme = bit_cast_to<float>(e.positive >= e.negative ? e.positive : e.negative | 0x80000000u);
  if (bit_cast_to<float>(e.most()) < kSmallest) return bf16{0};
  const float unit = extreme / 32767.0f;
  int64_t products[kTries] = {}, squares[kTries] = {};
  for (int64_t start = 0; start < count; start += kChunk) {
    const int n = static_cast<int>(smaller(kChunk, count - start));
    alignas(64) int32_t units[kChunk], valid[kChunk];
    each_of_chunk(w + start, n, [&](Vf v, int i) UM_BODY { store_int(units + i, to_int(v / unit)); });
    for (int i = 0; i < kChunk; ++i) valid[i] = i < n ? -1 : 0;
    for (int t = 0; t < kTries; ++t) try_place(units, valid, kPlaces[t], products[t], squares[t]);
  }
  double best = -1, ratio = 0;
  for (int t = 0; t < kTries; ++t) {
    const double product = static_cast<double>(products[t]), square = static_cast<double>(squares[t]);
    const double score = product * product / square;
    if (score > best) {
      best = score;
      ratio = product / square;
    }
  }
  return from_float<bf16>(static_cast<float>(ratio * (static_cast<double>(extreme) / 32767.0)));
}

// Indices of the codes nearest to v.
UM_INLINE Vi nearest_codes(Vf v) {
  Vi index = {};
#pragma GCC unroll 15
  for (int j = 0; j < 15; ++j) index -= (Vi)(v > static_cast<float>(threshold(j)) * 0.5f);
  return index;
}

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
