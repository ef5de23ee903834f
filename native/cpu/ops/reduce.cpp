// Sums over rows, columns and everything; always in f32, in an order that depends on shapes alone.
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

template <class T>
UM_INLINE float sum_span(const T* x, int64_t n) {
  return row_sum(n, [=](int64_t i, int k) UM_BODY { return get(x + i, k); });
}

template <class T>
void add_rows(const T* x, int64_t rows, int64_t cols, float* out) {
  each_vector(0, cols, [=](int64_t i, int k) UM_BODY {
    Vf s0 = vzero(), s1 = vzero();
    int64_t r = 0;
    for (; r + 2 <= rows; r += 2) {
      s0 = s0 + get(x + r * cols + i, k);
      s1 = s1 + get(x + (r + 1) * cols + i, k);
    }
    if (r < rows) s0 = s0 + get(x + r * cols + i, k);
    put(out + i, s0 + s1, k);
  });
}

Status sum_rows(const KernelArgs& a) {
  const int64_t rows = a.i(1), cols = a.i(2);
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, rows, cols, sizeof(T)) || !holds(a, 1, cols, 1, 4)) return too_small();
    const T* x = a.ptr<T>(0);
    if (cols == 0) return Status::ok;
    const RowChunks chunks(rows);
    float* partial = static_cast<float*>(
        scratch(0, static_cast<size_t>(chunks.count > 0 ? chunks.count : 1) * cols * 4));
    if (partial == nullptr) return no_scratch();
    parallel(chunks.count, row_grain(chunks.size * cols), [=](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        const int64_t r = c * chunks.size;
        add_rows(x + r * cols, rows - r < chunks.size ? rows - r : chunks.size, cols,
                 partial + c * cols);
      }
    });
    add_partials(partial, cols, chunks.count, cols, a.ptr<float>(1));
    return Status::ok;
  });
}

constexpr int64_t kLongRow = 16384;

// Sums one long span by pieces of kLongRow, then the pieces in double in order.
template <class F>
Status piecewise(int64_t n, float* out, const F& piece_sum) {
  const int64_t pieces = (n + kLongRow - 1) / kLongRow;
  float* partial = static_cast<float*>(scratch(0, static_cast<size_t>(pieces + 1) * 4));
  if (partial == nullptr) return no_scratch();
  parallel(pieces, 4, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t at = p * kLongRow;
      partial[p] = piece_sum(at, n - at < kLongRow ? n - at : kLongRow);
    }
  });
  double total = 0.0;
  for (int64_t p = 0; p < pieces; ++p) total += partial[p];
  *out = static_cast<float>(total);
  return Status::ok;
}

Status sum_cols(const KernelArgs& a) {
  const int64_t rows = a.i(1), cols = a.i(2);
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, rows, cols, sizeof(T)) || !holds(a, 1, rows, 1, 4)) return too_small();
    const T* x = a.ptr<T>(0);
    float* y = a.ptr<float>(1);
    if (cols > kLongRow) {
      for (int64_t r = 0; r < rows; ++r) {
        const T* row = x + r * cols;
        const Status s =
            piecewise(cols, y + r, [=](int64_t at, int64_t n) { return sum_span(row + at, n); });
        if (s != Status::ok) return s;
      }
      return Status::ok;
    }
    parallel(rows, row_grain(cols), [=](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) y[r] = sum_span(x + r * cols, cols);
    });
    return Status::ok;
  });
}

Status sum_squares(const KernelArgs& a) {
  const int64_t n = a.i(0);
  if (!holds(a, 0, n, 1, 4) || !a.has(1, 4)) return too_small();
  const float* x = a.ptr<float>(0);
  return piecewise(n, a.ptr<float>(1), [=](int64_t at, int64_t count) {
    return row_sum(count, [=](int64_t i, int k) UM_BODY {
      const Vf v = get(x + at + i, k);
      return v * v;
    });
  });
}

}  // namespace

void register_reduce(KernelTable& t) {
  t.fn[k_sum_rows] = sum_rows;
  t.fn[k_sum_cols] = sum_cols;
  t.fn[k_sum_squares] = sum_squares;
}

}  // namespace unimoer::UNIMOER_ISA_NS
