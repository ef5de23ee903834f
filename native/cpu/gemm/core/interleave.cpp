#include "cpu/gemm/core/core.h"
#include "cpu/simd/transpose.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

UM_INLINE uint32_t bits_of(float v) { return from_float<bf16>(v).bits; }
UM_INLINE uint32_t bits_of(bf16 v) { return v.bits; }

// kLanes words from consecutive elements.
template <class T, bool kPairs>
UM_INLINE Vi load_words(const T* p) {
  if constexpr (kPairs && sizeof(T) == 4) {
    bf16 t[2 * kLanes];
    store(t, load(p));
    store(t + kLanes, load(p + kLanes));
    return load_int(reinterpret_cast<const int32_t*>(t));
  } else if constexpr (kPairs || sizeof(T) == 4) {
    return load_int(reinterpret_cast<const int32_t*>(p));
  } else {
    return (Vi)load(p);
  }
}

template <class T, bool kPairs>
UM_INLINE uint32_t load_word(const T* p, int64_t word, int64_t k) {
  if constexpr (kPairs) {
    const uint32_t low = bits_of(p[2 * word]);
    return 2 * word + 1 < k ? low | (bits_of(p[2 * word + 1]) << 16) : low;
  } else {
    return word < k ? bit_cast_to<uint32_t>(to_float(p[word])) : 0;
  }
}

// k runs along memory: transpose blocks of kLanes lanes x kLanes words. Lanes beyond `lanes` repeat
// the last one; what they give is never stored.
template <class T, bool kPairs>
void along_k(uint32_t* out, int64_t stride, const T* src, int64_t lane_stride, int64_t lanes, int64_t k,
             int64_t words, int64_t width) {
  const T* lane[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) lane[i] = src + smaller(i, lanes - 1) * lane_stride;
  constexpr int64_t kElements = kPairs ? 2 : 1;
  int64_t w = 0;
  for (; (w + kLanes) * kElements <= k; w += kLanes) {
    Vi v[kLanes];
    for (int i = 0; i < kLanes; ++i) v[i] = load_words<T, kPairs>(lane[i] + w * kElements);
    // The same place of the lanes that come next.
    for (int i = 0; i < kLanes; ++i) __builtin_prefetch(lane[i] + w * kElements + lanes * lane_stride);
    transpose(v);
    for (int i = 0; i < kLanes; ++i) store_int(reinterpret_cast<int32_t*>(out + (w + i) * stride), v[i]);
  }
  for (; w < words; ++w)
    for (int64_t i = 0; i < width; ++i) out[w * stride + i] = load_word<T, kPairs>(lane[i], w, k);
}

// Word (low, high) of kLanes neighbouring lanes; n < kLanes leaves the others zero.
template <class T>
UM_INLINE Vi pair_of(const T* low, const T* high, int n) {
  const Vf none = splat(0.0f);
  const Vf l = n == kLanes ? load(low) : load_n(low, n);
  const Vf h = !high ? none : n == kLanes ? load(high) : load_n(high, n);
  if constexpr (sizeof(T) == 2)
    return (Vi)((Vu)h | (Vu)l >> 16);
  else
    return pack_pair(l, h);
}

#if defined(__AVX512BW__)
// Words (a[0], b[0]) ... (a[15], b[15]), then (a[16], b[16]) ... of two rows a, b of 32 halves.
struct PairOrder {
  alignas(64) uint16_t at[2][32];
  constexpr PairOrder() : at() {
    for (int i = 0; i < 32; ++i) {
      at[i / 16][2 * (i % 16)] = static_cast<uint16_t>(i);
      at[i / 16][2 * (i % 16) + 1] = static_cast<uint16_t>(32 + i);
    }
  }
};
constexpr PairOrder kPairOrder;

UM_INLINE void interleave_two_rows(uint32_t* out, const void* low, const void* high) {
  const __m512i a = _mm512_loadu_si512(low), b = _mm512_loadu_si512(high);
  for (int i = 0; i < 2; ++i)
    _mm512_storeu_si512(out + i * kLanes, _mm512_permutex2var_epi16(a, _mm512_load_si512(kPairOrder.at[i]), b));
}
#endif

// Lanes run along memory: one (or two) row loads per word, all lanes of the panel before the next
// row, so that a line of memory is used while it is near. Absent lanes are zero.
template <class T, bool kPairs>
void along_lanes(uint32_t* out, int64_t stride, const T* src, int64_t k_stride, int64_t lanes, int64_t k,
                 int64_t words) {
  constexpr int64_t kAhead = 40;
  for (int64_t w = 0; w < words; ++w, out += stride) {
    const T* row = src + (kPairs ? 2 * w : w) * k_stride;
    const T* second = kPairs && 2 * w + 1 < k ? row + k_stride : nullptr;
    if (w + kAhead < words) {
      const T* ahead = row + (kPairs ? 2 : 1) * kAhead * k_stride;
      __builtin_prefetch(ahead);
      __builtin_prefetch(ahead + lanes - 1);
      if (kPairs) __builtin_prefetch(ahead + k_stride);
      if (kPairs) __builtin_prefetch(ahead + k_stride + lanes - 1);
    }
#if defined(__AVX512BW__)
    if constexpr (kPairs && sizeof(T) == 2) {
      if (lanes == kPanel && second) {
        interleave_two_rows(out, row, second);
        continue;
      }
    }
#endif
    for (int64_t j = 0; j < lanes; j += kLanes) {
      const int n = static_cast<int>(smaller(lanes - j, kLanes));
      Vi v;
      if constexpr (kPairs)
        v = pair_of(row + j, second ? second + j : nullptr, n);
      else
        v = (Vi)(w >= k ? splat(0.0f) : n == kLanes ? load(row + j) : load_n(row + j, n));
      store_int(reinterpret_cast<int32_t*>(out + j), v);
    }
  }
}

// Stores are kLanes wide but for the tail of along_k, which is `width` wide;
// ascending, so that a later word overwrites the overhang of an earlier one.
template <class T, bool kPairs>
void group_of(uint32_t* out, int64_t stride, const Source& s, int64_t lane, int64_t lanes, int64_t k, int64_t words,
              int64_t width) {
  const T* src = static_cast<const T*>(s.data) + lane * s.lane_stride;
  if (s.k_stride == 1) {
    for (int64_t j = 0; j < lanes; j += kLanes)
      along_k<T, kPairs>(out + j, stride, src + j * s.lane_stride, s.lane_stride, smaller(lanes - j, kLanes), k, words,
                         smaller(width - j, kLanes));
  } else {
    along_lanes<T, kPairs>(out, stride, src, s.k_stride, lanes, k, words);
  }
}

void group(uint32_t* out, int64_t stride, const Source& s, int64_t lane, int64_t lanes, int64_t k, int64_t words,
           int64_t width, bool pairs) {
  if (s.dtype == kF32) {
    if (pairs)
      group_of<float, true>(out, stride, s, lane, lanes, k, words, width);
    else
      group_of<float, false>(out, stride, s, lane, lanes, k, words, width);
  } else {
    if (pairs)
      group_of<bf16, true>(out, stride, s, lane, lanes, k, words, width);
    else
      group_of<bf16, false>(out, stride, s, lane, lanes, k, words, width);
  }
}

struct PanelJob {
  uint32_t* out;
  Source b;
  int64_t n, k;
  bool pairs;
};

void panel_range(void* context, int64_t begin, int64_t end, int) {
  const PanelJob& job = *static_cast<const PanelJob*>(context);
  interleave_panels(job.out, job.b, job.n, job.k, job.pairs, begin, end);
}

}  // namespace

void interleave_panels(uint32_t* out, const Source& b, int64_t n, int64_t k, bool pairs, int64_t first,
                       int64_t last) {
  const int64_t words = pairs ? (k + 1) / 2 : k;
  for (int64_t p = first; p < last; ++p) {
    uint32_t* panel = out + p * kPanel * words;
    const int64_t column = p * kPanel, columns = smaller(kPanel, n - column);
    const int64_t width = columns <= kLanes ? kLanes : kPanel;
    group(panel, width, b, column, columns, k, words, width, pairs);
  }
}

void interleave_panels_parallel(uint32_t* out, const Source& b, int64_t n, int64_t k, bool pairs) {
  PanelJob job{out, b, n, k, pairs};
  parallel_for(panel_count(n), larger(1, 65536 / (kPanel * larger(k, 1))), panel_range, &job);
}

void interleave_rows(uint32_t* out, const Source& a, int64_t row, int64_t rows, int64_t height, int64_t k,
                     Compute c) {
  const int64_t words = words_a(c, k);
  for (int64_t done = 0; done < rows; done += height) {
    const int64_t lanes = smaller(height, rows - done);
    group(out + done * words, lanes, a, row + done, lanes, k, words, lanes, pairs_in_a(c));
  }
}

}  // namespace unimoer::UNIMOER_ISA_NS
