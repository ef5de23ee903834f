// copy_2d, transpose and dropout.
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// Bytes up to the end of the last row of a strided view.
int64_t strided_bytes(int64_t rows, int64_t cols, int64_t stride, int64_t offset, int64_t item) {
  if (rows == 0 || cols == 0) return 0;
  int64_t n;
  if (offset < 0 || stride < cols || rows < 0 || cols < 0 ||
      __builtin_mul_overflow(rows - 1, stride, &n) || __builtin_add_overflow(n, cols, &n) ||
      __builtin_add_overflow(n, offset, &n) || __builtin_mul_overflow(n, item, &n)) {
    return -1;
  }
  return n;
}

Status copy_2d(const KernelArgs& a) {
  const int64_t item = item_bytes(static_cast<int>(a.i(0)));
  if (item < 0) return bad_dtype();
  const int64_t rows = a.i(1), cols = a.i(2), ldx = a.i(3), ox = a.i(4), ldy = a.i(5), oy = a.i(6);
  const int64_t nx = strided_bytes(rows, cols, ldx, ox, item);
  const int64_t ny = strided_bytes(rows, cols, ldy, oy, item);
  if (nx < 0 || ny < 0 || (nx > 0 && (!a.has(0, nx) || !a.has(1, ny)))) return too_small();
  const char* x = a.ptr<char>(0);
  char* y = a.ptr<char>(1);
  parallel(rows, row_grain(cols, 65536), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      __builtin_memmove(y + (oy + r * ldy) * item, x + (ox + r * ldx) * item,
                        static_cast<size_t>(cols * item));
    }
  });
  return Status::ok;
}

template <class U>
void transpose_blocks(const U* x, U* y, int64_t rows, int64_t cols) {
  constexpr int64_t kBlock = 32;
  parallel((cols + kBlock - 1) / kBlock, row_grain(rows * kBlock), [=](int64_t begin, int64_t end) {
    for (int64_t c0 = begin * kBlock; c0 < end * kBlock && c0 < cols; c0 += kBlock) {
      const int64_t c1 = c0 + kBlock < cols ? c0 + kBlock : cols;
      for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
        const int64_t r1 = r0 + kBlock < rows ? r0 + kBlock : rows;
        if constexpr (sizeof(U) == 4) {
          if (r1 - r0 == kBlock && c1 - c0 == kBlock) {
            for (int64_t r = r0; r < r1; r += kWidth) {
              for (int64_t c = c0; c < c1; c += kWidth) {
                transpose_words(x + r * cols + c, cols, y + c * rows + r, rows);
              }
            }
            continue;
          }
        }
        for (int64_t c = c0; c < c1; ++c) {
          for (int64_t r = r0; r < r1; ++r) y[c * rows + r] = x[r * cols + c];
        }
      }
    }
  });
}

Status transpose(const KernelArgs& a) {
  const int64_t item = item_bytes(static_cast<int>(a.i(0)));
  if (item < 0) return bad_dtype();
  const int64_t rows = a.i(1), cols = a.i(2);
  if (!holds(a, 0, rows, cols, item) || !holds(a, 1, rows, cols, item)) return too_small();
  if (item == 4) {
    transpose_blocks(a.ptr<uint32_t>(0), a.ptr<uint32_t>(1), rows, cols);
  } else {
    transpose_blocks(a.ptr<uint16_t>(0), a.ptr<uint16_t>(1), rows, cols);
  }
  return Status::ok;
}

// Philox4x32-10 (Salmon et al., SC 2011) on kBlocks counters at once; word w of block b lands in
// out[w][b].
constexpr int kBlocks = 16;
void philox(uint64_t first, uint32_t key0, uint32_t key1, uint32_t (&out)[4][kBlocks]) {
  uint32_t c0[kBlocks], c1[kBlocks], c2[kBlocks], c3[kBlocks];
  for (int b = 0; b < kBlocks; ++b) {
    const uint64_t block = first + static_cast<uint64_t>(b);
    c0[b] = static_cast<uint32_t>(block);
    c1[b] = static_cast<uint32_t>(block >> 32);
    c2[b] = 0;
    c3[b] = 0;
  }
  for (int round = 0; round < 10; ++round) {
    for (int b = 0; b < kBlocks; ++b) {
      const uint64_t p0 = static_cast<uint64_t>(c0[b]) * 0xD2511F53u;
      const uint64_t p1 = static_cast<uint64_t>(c2[b]) * 0xCD9E8D57u;
      const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1[b] ^ key0;
      const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3[b] ^ key1;
      c1[b] = static_cast<uint32_t>(p1);
      c3[b] = static_cast<uint32_t>(p0);
      c0[b] = n0;
      c2[b] = n2;
    }
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  for (int b = 0; b < kBlocks; ++b) {
    out[0][b] = c0[b];
    out[1][b] = c1[b];
    out[2][b] = c2[b];
    out[3][b] = c3[b];
  }
}

Status dropout(const KernelArgs& a) {
  const int64_t n = a.i(1);
  const double p = a.arg[2];
  if (!(p >= 0.0 && p < 1.0)) return fail(Status::bad_argument, "dropout probability not in [0, 1)");
  const uint32_t key0 = static_cast<uint32_t>(a.i(3)), key1 = static_cast<uint32_t>(a.i(4));
  const uint64_t offset = static_cast<uint64_t>(a.i(5));
  // (u >> 8) 2^-24 >= p  <=>  (u >> 8) >= ceil(p 2^24)
  const double scaled = p * 16777216.0;
  uint32_t threshold = static_cast<uint32_t>(scaled);
  if (static_cast<double>(threshold) < scaled) ++threshold;
  const float scale = static_cast<float>(1.0 / (1.0 - p));
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, n, 1, sizeof(T)) || !holds(a, 1, n, 1, sizeof(T))) return too_small();
    const T* x = a.ptr<T>(0);
    T* y = a.ptr<T>(1);
    constexpr int64_t kSpan = 4 * kBlocks;
    parallel((n + kSpan - 1) / kSpan, 256, [=](int64_t begin, int64_t end) {
      uint32_t words[4][kBlocks];
      for (int64_t s = begin; s < end; ++s) {
        philox(offset + static_cast<uint64_t>(s * kBlocks), key0, key1, words);
        const int64_t count = n - s * kSpan < kSpan ? n - s * kSpan : kSpan;
        float factor[kSpan];
        for (int b = 0; b < kBlocks; ++b) {
          for (int w = 0; w < 4; ++w) {
            factor[4 * b + w] = (words[w][b] >> 8) >= threshold ? scale : 0.0f;
          }
        }
        const T* xs = x + s * kSpan;
        T* ys = y + s * kSpan;
        each_vector(0, count, [=, &factor](int64_t i, int k) UM_BODY {
          const Vf f = load_n(factor + i, k);
          // A dropped infinity is 0, not NaN.
          put(ys + i, choose((Vi)(f == vzero()), vzero(), get(xs + i, k) * f), k);
        });
      }
    });
    return Status::ok;
  });
}

}  // namespace

void register_shape(KernelTable& t) {
  t.fn[k_copy_2d] = copy_2d;
  t.fn[k_transpose] = transpose;
  t.fn[k_dropout] = dropout;
}

}  // namespace unimoer::UNIMOER_ISA_NS
