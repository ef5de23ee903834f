#include "cpu/gemm/quant/expand.h"

#include "cpu/simd/transpose.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

template <int kBits, Compute kForm>
void forward_panel(const Quantized& q, int64_t p, uint32_t* out) {
  constexpr int kOut = kForm == Compute::pairs ? 16 / kBits : 32 / kBits;  // words of the result per word of the weight
  const int64_t width = q.width(p), words = q.words(), rows = expanded_words(kForm, q.k);
  const int64_t step = kBits == 8 ? words : q.group / 8;
  const uint32_t* in = q.panel(p);
  const Elements<kBits> elements;
  for (int64_t g = 0, i = 0; i < words; ++g) {
    const Vf scale[2] = {lane_scales<kBits>(q, p, g, 0), lane_scales<kBits>(q, p, g, width - kLanes)};
    for (const int64_t end = smaller(i + step, words); i < end; ++i, in += width, out += kOut * width) {
      const int64_t left = smaller(kOut, rows - i * kOut);
      for (int64_t j = 0; j < width; j += kLanes) {
        Vi result[kOut];
        expand_word<kBits, kForm>(elements, load_int(reinterpret_cast<const int32_t*>(in + j)), scale[j != 0], result);
        auto* to = reinterpret_cast<int32_t*>(out + j);
        if (left == kOut) {
#pragma GCC unroll 8
          for (int r = 0; r < kOut; ++r) store_int(to + r * width, result[r]);
        } else {
          for (int64_t r = 0; r < left; ++r) store_int(to + r * width, result[r]);
        }
      }
    }
  }
}

UM_INLINE Vf load_bytes(const int8_t* p) {
#if defined(__AVX512F__)
  return to_vf((Vi)_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(__AVX2__)
  return to_vf((Vi)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  return Vf{static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]), static_cast<float>(p[3])};
#endif
}

// kLanes words of four bytes along k from `quad` on, for the kLanes columns at `lane` of panel p.
UM_INLINE void load_quads(const Quantized& q, int64_t p, int64_t lane, int64_t quad, Vi (&v)[kLanes]) {
  const int64_t width = q.width(p), words = q.words();
  const auto* in = reinterpret_cast<const int32_t*>(q.panel(p)) + lane;
  if (q.bits == 8) {
    for (int i = 0; i < kLanes; ++i) v[i] = quad + i < words ? load_int(in + (quad + i) * width) : Vi{};
    return;
  }
  const ByteCodes codes(false);
  for (int i = 0; i < kLanes; i += 2) {
    const int64_t word = (quad + i) / 2;
    const Vi w = word < words ? load_int(in + word * width) : Vi{};
    codes.split(w, v[i], v[i + 1]);
  }
}

constexpr int kParts = 4;  // vectors of kLanes inputs in two panels

// The part of two reverse panels that kLanes outputs, from `lane` of forward panel p on, make.
template <Compute kForm>
void reverse_block(const Quantized& q, int64_t p, int64_t lane, int64_t input, uint32_t* const (&out)[kParts],
                   const int64_t (&stride)[kParts]) {
  alignas(64) int8_t bytes[kLanes][kParts * kLanes];
  Vi v[kLanes];
  load_quads(q, p, lane, input / 4, v);
  transpose(v);
  for (int i = 0; i < kLanes; ++i) store_int(reinterpret_cast<int32_t*>(bytes[i]), v[i]);
  const int64_t row = p * kPanel + lane, width = q.width(p), rows = smaller(kLanes, q.n - row);
  const bf16* scales = q.group_scales(p) + lane;
  for (int part = 0; part < kParts; ++part) {
    if (!out[part]) continue;
    const int64_t group = q.bits == 8 ? 0 : smaller(input + part * kLanes, q.k - 1) / q.group;
    const auto row_of = [&](int i) UM_BODY {
      const float scale = q.bits == 8 ? q.scales()[row + i] : to_float(scales[group * width + i]);
      return load_bytes(bytes[i] + part * kLanes) * splat(scale);
    };
    constexpr bool kPairs = kForm == Compute::pairs;
    auto* to = reinterpret_cast<int32_t*>(out[part]) + (kPairs ? row / 2 : row) * stride[part];
    if constexpr (kPairs) {
      for (int i = 0; i < rows; i += 2, to += stride[part]) store_int(to, pack_pair(row_of(i), row_of(i + 1)));
    } else {
      for (int i = 0; i < rows; ++i, to += stride[part]) store_int(to, float_word<kForm>(row_of(i)));
    }
  }
}

template <Compute kForm>
void reverse_panels(const Quantized& q, int64_t first, int64_t last, uint32_t* out) {
  const int64_t words = expanded_words(kForm, q.n);
  for (int64_t p = first; p < last; p += 2) {
    uint32_t* parts[kParts];
    int64_t stride[kParts];
    for (int i = 0; i < kParts; ++i) {
      const int64_t panel = p + i / 2, columns = q.k - panel * kPanel, lane = i % 2 * kLanes;
      stride[i] = columns <= kLanes ? kLanes : kPanel;
      parts[i] = panel < last && lane < stride[i] && columns > 0 ? out + (panel - first) * kPanel * words + lane : nullptr;
    }
    for (int64_t row = 0; row < q.n; row += kLanes)
      reverse_block<kForm>(q, row / kPanel, row % kPanel, p * kPanel, parts, stride);
  }
}

template <Compute kForm>
void forward_panels(const Quantized& q, int64_t first, int64_t last, uint32_t* out) {
  for (int64_t p = first; p < last; ++p, out += kPanel * expanded_words(kForm, q.k))
    q.bits == 8 ? forward_panel<8, kForm>(q, p, out) : forward_panel<4, kForm>(q, p, out);
}

}  // namespace

void expand_forward(const Quantized& q, Compute form, int64_t first, int64_t last, uint32_t* out) {
  switch (form) {
    case Compute::pairs: return forward_panels<Compute::pairs>(q, first, last, out);
    case Compute::wide: return forward_panels<Compute::wide>(q, first, last, out);
    default: return forward_panels<Compute::floats>(q, first, last, out);
  }
}

void expand_reverse(const Quantized& q, Compute form, int64_t first, int64_t last, uint32_t* out) {
  switch (form) {
    case Compute::pairs: return reverse_panels<Compute::pairs>(q, first, last, out);
    case Compute::wide: return reverse_panels<Compute::wide>(q, first, last, out);
    default: return reverse_panels<Compute::floats>(q, first, last, out);
  }
}

}  // namespace unimoer::UNIMOER_ISA_NS
