// Dropout by Philox4x32-10 (Salmon et al., SC 2011): element i is kept by word i mod 4 of the block
// with counter offset + floor(i / 4), so no mask is stored and any part can be recomputed.
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// kWidth blocks from counter `first`; words[j] holds elements j kWidth ... of their 4 kWidth words.
UM_INLINE void philox(uint64_t first, uint32_t key0, uint32_t key1, Vi (&words)[4]) {
  // Lane 4 g + j computes block j kWidth/4 + g, which interleave4 then puts in order.
  Vu block;
  for (int i = 0; i < kWidth; ++i) {
    block[i] = static_cast<uint32_t>(i % 4 * (kWidth / 4) + i / 4);
  }
  const Vu low = block + static_cast<uint32_t>(first);
  const Vi carry = (Vi)(low < block);  // -1 where the low word wrapped
  Vi c0 = (Vi)low, c1 = static_cast<int32_t>(static_cast<uint32_t>(first >> 32)) - carry;
  Vi c2 = {}, c3 = {};
  for (int round = 0; round < 10; ++round) {
    Vi low0, high0, low1, high1;
    multiply_wide(c0, 0xD2511F53u, &low0, &high0);
    multiply_wide(c2, 0xCD9E8D57u, &low1, &high1);
    c0 = high1 ^ c1 ^ static_cast<int32_t>(key0);
    c1 = low1;
    c2 = high0 ^ c3 ^ static_cast<int32_t>(key1);
    c3 = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  interleave4({c0, c1, c2, c3}, words);
}

Status dropout(const KernelArgs& a) {
  const int64_t n = a.i(1);
  const double p = a.arg[2];
  if (!(p >= 0.0 && p < 1.0)) return fail(Status::bad_argument, "dropout probability not in [0, 1)");
  const uint32_t key0 = static_cast<uint32_t>(a.i(3)), key1 = static_cast<uint32_t>(a.i(4));
  const uint64_t offset = static_cast<uint64_t>(a.i(5));
  // (u >> 8) 2^-24 >= p  <=>  (u >> 8) >= ceil(p 2^24)
  const double scaled = p * 16777216.0;
  int32_t threshold = static_cast<int32_t>(scaled);
  if (static_cast<double>(threshold) < scaled) ++threshold;
  const Vf scale = splat(static_cast<float>(1.0 / (1.0 - p)));
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, n, 1, sizeof(T)) || !holds(a, 1, n, 1, sizeof(T))) return too_small();
    const T* x = a.ptr<T>(0);
    T* y = a.ptr<T>(1);
    constexpr int64_t kSpan = 4 * kWidth;
    parallel((n + kSpan - 1) / kSpan, 16384 / kSpan, [=](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s) {
        Vi words[4];
        philox(offset + static_cast<uint64_t>(s * kWidth), key0, key1, words);
        const auto emit = [&](int j, int k) UM_BODY {
          const int64_t i = s * kSpan + j * kWidth;
          const Vi kept = (Vi)(((Vu)words[j] >> 8) >= static_cast<uint32_t>(threshold));
          put(y + i, choose(kept, get(x + i, k) * scale, vzero()), k);
        };
        if (n - s * kSpan >= kSpan) {
          for (int j = 0; j < 4; ++j) emit(j, kWidth);
        } else {
          for (int j = 0; j < 4 && s * kSpan + j * kWidth < n; ++j) {
            const int64_t left = n - s * kSpan - j * kWidth;
            emit(j, left < kWidth ? static_cast<int>(left) : kWidth);
          }
        }
      }
    });
    return Status::ok;
  });
}

}  // namespace

void register_dropout(KernelTable& t) { t.fn[k_dropout] = dropout; }

}  // namespace unimoer::UNIMOER_ISA_NS
