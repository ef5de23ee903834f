#include "cpu/gemm/quant/fit.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

UM_INLINE int round_even(float v) {
  const float magic = 12582912.0f;
  return static_cast<int>((v + magic) - magic);
}

UM_INLINE int quantized(float w, float scale) { return scale == 0.0f ? 0 : round_even(w / scale); }

template <class T>
bool quantize_byte_column(const Quantized& q, const T* w, int64_t column, uint32_t* words, int64_t width) {
  const uint32_t largest = extremes(w, q.k).most();
  if (largest >= kInfinity) return false;
  const float most = bit_cast_to<float>(largest), scale = most < kSmallest ? 0.0f : most / 127.0f;
  int32_t sum = 0;
  for (int64_t i = 0, end = q.words(); i < end; ++i) {
    uint32_t word = 0;
    for (int64_t j = 0, left = smaller(4, q.k - 4 * i); j < left; ++j) {
      const int v = quantized(to_float(w[4 * i + j]), scale);
      sum += v;
      word |= (static_cast<uint32_t>(v) & 0xffu) << (8 * j);
    }
    words[i * width] = word;
  }
  q.scales()[column] = scale;
  q.sums()[column] = sum;
  return true;
}

template <class T>
bool quantize_nibble_column(const Quantized& q, const T* w, bf16* scales, uint32_t* words, int64_t width) {
  for (int64_t g = 0, end = q.groups(); g < end; ++g) {
    const int64_t start = g * q.group, count = smaller(q.group, q.k - start);
    const Extremes e = extremes(w + start, count);
    if (e.most() >= kInfinity) return false;
    const bf16 stored = fit_scale(w + start, count, e);
    const float scale = to_float(stored), divisor = scale == 0.0f ? 1.0f : scale;
    scales[g * width] = stored;
    for (int64_t i = 0; i < count; i += kChunk) {
      const int n = static_cast<int>(smaller(kChunk, count - i));
      int32_t index[kChunk];
      each_of_chunk(w + start + i, n, [&](Vf v, int j) UM_BODY { store_int(index + j, nearest_codes(v / divisor)); });
      for (int j = 0; j < n; j += 8) {
        uint32_t word = 0;
#pragma GCC unroll 8
        for (int e = 0; e < 8; ++e) word |= static_cast<uint32_t>(index[j + e]) << nibble_shift(e);
        words[(start + i + j) / 8 * width] = word;
      }
    }
  }
  return true;
}

void clear_column(const Quantized& q, int64_t p, int64_t lane) {
  const int64_t width = q.width(p);
  for (int64_t i = 0, end = q.words(); i < end; ++i) q.panel(p)[i * width + lane] = 0;
  if (q.bits == 8) {
    q.scales()[p * kPanel + lane] = 0.0f;
    q.sums()[p * kPanel + lane] = 0;
  } else {
    for (int64_t g = 0, end = q.groups(); g < end; ++g) q.group_scales(p)[g * width + lane] = bf16{0};
  }
}

template <class T>
bool quantize_panels(const Quantized& q, const T* w, int64_t first, int64_t last) {
  bool good = true;
  for (int64_t p = first; p < last; ++p) {
    const int64_t width = q.width(p);
    for (int64_t lane = 0; lane < width; ++lane) {
      const int64_t column = p * kPanel + lane;
      if (column >= q.n) {
        clear_column(q, p, lane);
        continue;
      }
      const T* row = w + column * q.k;
      const bool done = q.bits == 8 ? quantize_byte_column(q, row, column, q.panel(p) + lane, width)
                                    : quantize_nibble_column(q, row, q.group_scales(p) + lane, q.panel(p) + lane, width);
      good = good && done;
    }
  }
  return good;
}

template <class T>
void dequantize_panels(const Quantized& q, T* w, int64_t first, int64_t last) {
  const int64_t per_word = q.per_word();
  for (int64_t p = first; p < last; ++p) {
    const int64_t width = q.width(p), columns = smaller(kPanel, q.n - p * kPanel);
    for (int64_t lane = 0; lane < columns; ++lane) {
      const int64_t column = p * kPanel + lane;
      for (int64_t i = 0; i < q.k; ++i) {
        const uint32_t word = q.panel(p)[i / per_word * width + lane];
        const int shift = q.bits == 8 ? static_cast<int>(8 * (i % 4)) : nibble_shift(i % 8);
        const int v = q.bits == 8 ? static_cast<int>(word << (24 - shift)) >> 24 : kCodes[(word >> shift) & 15];
        const float scale =
            q.bits == 8 ? q.scales()[column] : to_float(q.group_scales(p)[i / q.group * width + lane]);
        w[column * q.k + i] = from_float<T>(static_cast<float>(v) * scale);
      }
    }
  }
}

UM_INLINE int64_t panel_grain(const Quantized& q) { return larger(1, 65536 / (kPanel * larger(q.k, 1))); }

}  // namespace

bool quantizable(int bits, int64_t group, int64_t n, int64_t k) {
  if (n < 1 || k < 1 || n >= INT32_MAX || k >= INT32_MAX) return false;
  return bits == 8 || (bits == 4 && group >= kGroupUnit && group % kGroupUnit == 0 && group < INT32_MAX);
}

bool quantize(const Quantized& q, const void* w, int dtype) {
  bool good = true;
  parallel(panel_count(q.n), panel_grain(q), [&](int64_t first, int64_t last) {
    const bool done = dtype == kBF16 ? quantize_panels(q, static_cast<const bf16*>(w), first, last)
                                     : quantize_panels(q, static_cast<const float*>(w), first, last);
    if (!done) __atomic_store_n(&good, false, __ATOMIC_RELAXED);
  });
  return good;
}

void dequantize(const Quantized& q, void* w, int dtype) {
  parallel(panel_count(q.n), panel_grain(q), [&](int64_t first, int64_t last) {
    if (dtype == kBF16)
      dequantize_panels(q, static_cast<bf16*>(w), first, last);
    else
      dequantize_panels(q, static_cast<float*>(w), first, last);
  });
}

}  // namespace unimoer::UNIMOER_ISA_NS
