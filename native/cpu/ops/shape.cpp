// copy_2d, concat and transpose.
#include "../simd/kernel_util.h"
#include "../simd/transpose.h"

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
  if (rows == 0 || cols == 0) return Status::ok;
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

// concat [whole, parts...](dt, rows, stride, offset, split, widths...): the parts' columns side by side in
// rows of `whole`, from column `offset` on; split copies the other way. An absent part is passed over.
constexpr int kConcatParts = 24;

Status concat(const KernelArgs& a) {
  const int64_t item = item_bytes(static_cast<int>(a.i(0)));
  if (item < 0) return bad_dtype();
  const int64_t rows = a.i(1), stride = a.i(2);
  const bool split = a.i(4) != 0;
  int64_t at[kConcatParts + 1] = {a.i(3)};
  if (rows < 0 || at[0] < 0) return too_small();
  for (int i = 0; i < kConcatParts; ++i) {
    const int64_t width = a.i(5 + i);
    if (width < 0 || __builtin_add_overflow(at[i], width, &at[i + 1]) || at[i + 1] > stride) return too_small();
    if (a.buf[1 + i] && !holds(a, 1 + i, rows, width, item)) return too_small();
  }
  if (rows == 0) return Status::ok;
  if (!holds(a, 0, rows, stride, item)) return too_small();
  char* whole = a.ptr<char>(0);
  parallel(rows * kConcatParts, row_grain((at[kConcatParts] - at[0]) / kConcatParts, 65536), [=, &a, &at](int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; ++u) {
      const int64_t row = u / kConcatParts;
      const int i = static_cast<int>(u % kConcatParts);
      const int64_t width = at[i + 1] - at[i];
      if (!a.buf[1 + i] || width == 0) continue;
      char* part = a.ptr<char>(1 + i) + row * width * item;
      char* place = whole + (row * stride + at[i]) * item;
      __builtin_memcpy(split ? part : place, split ? place : part, static_cast<size_t>(width * item));
    }
  });
  return Status::ok;
}

// A square of 2 kWidth halves: two rows become one row of words, whose transpose has the rows' neighbours side by side.
UM_INLINE void transpose_halves(const uint16_t* x, int64_t ldx, uint16_t* y, int64_t ldy) {
  uint32_t words[kWidth * kWidth], turned[kWidth * kWidth];
  for (int64_t c = 0; c < 2 * kWidth; c += kWidth) {
    for (int64_t r = 0; r < kWidth; ++r) {
      const auto* row = reinterpret_cast<const bf16*>(x + 2 * r * ldx + c);
      const Vu low = (Vu)load(row) >> 16, high = (Vu)load(row + ldx);
      store_int(reinterpret_cast<int32_t*>(words + r * kWidth), (Vi)(high | low));
    }
    transpose_words(words, kWidth, turned, kWidth);
    for (int64_t i = 0; i < kWidth; ++i) __builtin_memcpy(y + (c + i) * ldy, turned + i * kWidth, 4 * kWidth);
  }
}

template <class U>
void transpose_blocks(const U* x, U* y, int64_t rows, int64_t cols) {
  constexpr int64_t kBlock = 32;
  parallel((cols + kBlock - 1) / kBlock, row_grain(rows * kBlock), [=](int64_t begin, int64_t end) {
    for (int64_t c0 = begin * kBlock; c0 < end * kBlock && c0 < cols; c0 += kBlock) {
      const int64_t c1 = c0 + kBlock < cols ? c0 + kBlock : cols;
      for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
        const int64_t r1 = r0 + kBlock < rows ? r0 + kBlock : rows;
        if (r1 - r0 == kBlock && c1 - c0 == kBlock) {
          constexpr int64_t kSide = sizeof(U) == 4 ? kWidth : 2 * kWidth;
          for (int64_t r = r0; r < r1; r += kSide) {
            for (int64_t c = c0; c < c1; c += kSide) {
              if constexpr (sizeof(U) == 4)
                transpose_words(x + r * cols + c, cols, y + c * rows + r, rows);
              else
                transpose_halves(x + r * cols + c, cols, y + c * rows + r, rows);
            }
          }
          continue;
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
  if (rows == 0 || cols == 0) return Status::ok;
  if (item == 4) {
    transpose_blocks(a.ptr<uint32_t>(0), a.ptr<uint32_t>(1), rows, cols);
  } else {
    transpose_blocks(a.ptr<uint16_t>(0), a.ptr<uint16_t>(1), rows, cols);
  }
  return Status::ok;
}

}  // namespace

void register_shape(KernelTable& t) {
  t.fn[k_copy_2d] = copy_2d;
  t.fn[k_concat] = concat;
  t.fn[k_transpose] = transpose;
}

}  // namespace unimoer::UNIMOER_ISA_NS
