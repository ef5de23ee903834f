#include "cpu/gemm/core/core.h"
#include "cpu/gemm/core/transpose.h"

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
    transpose(v);
    for (int i = 0; i < kLanes; ++i) store_int(reinterpret_cast<int32_t*>(out + (w + i) * stride), v[i]);
  }
  for (; w < words; ++w)
    for (int64_t i = 0; i < width; ++i) out[w * stride + i] = load_word<T, kPairs>(lane[i], w, k);
}

// Lanes run along memory: one (or two) row loads per word. Absent lanes are zero.
template <class T, bool kPairs>
void along_lanes(uint32_t* out, int64_t stride, const T* src, int64_t k_stride, int64_t lanes, int64_t k,
                 int64_t words) {
  const int n = static_cast<int>(smaller(lanes, kLanes));
  const Vf none = splat(0.0f);
  for (int64_t w = 0; w < words; ++w) {
    Vi v;
    if constexpr (kPairs) {
      const T* low = src + 2 * w * k_stride;
      const T* high = low + k_stride;
      if (n == kLanes)
        v = pack_pair(load(low), 2 * w + 1 < k ? load(high) : none);
      else
        v = pack_pair(load_n(low, n), 2 * w + 1 < k ? load_n(high, n) : none);
    } else {
      const T* row = src + w * k_stride;
      v = (Vi)(w >= k ? none : n == kLanes ? load(row) : load_n(row, n));
    }
    store_int(reinterpret_cast<int32_t*>(out + w * stride), v);
  }
}

// One group of up to kLanes lanes. Stores are kLanes wide but for the tail of along_k, which is
// `width` wide; ascending, so that a later word overwrites the overhang of an earlier one.
template <class T, bool kPairs>
void group_of(uint32_t* out, int64_t stride, const Source& s, int64_t lane, int64_t lanes, int64_t k, int64_t words,
              int64_t width) {
  const T* src = static_cast<const T*>(s.data) + lane * s.lane_stride;
  if (s.k_stride == 1)
    along_k<T, kPairs>(out, stride, src, s.lane_stride, lanes, k, words, width);
  else
    along_lanes<T, kPairs>(out, stride, src, s.k_stride, lanes, k, words);
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
    for (int64_t j = 0; j < width; j += kLanes) {
      // The second half of a panel may lack columns altogether only when it is absent.
      group(panel + j, width, b, column + j, smaller(kLanes, columns - j), k, words, kLanes, pairs);
    }
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
