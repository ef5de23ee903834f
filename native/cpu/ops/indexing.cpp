// gather_rows and its gradient.
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

Status check_indices(const int32_t* idx, int64_t n, int64_t rows) {
  for (int64_t i = 0; i < n; ++i) {
    if (idx[i] < 0 || idx[i] >= rows) {
      return fail(Status::bad_argument, "row index outside the table");
    }
  }
  return Status::ok;
}

Status gather_rows(const KernelArgs& a) {
  const int64_t count = a.i(2), cols = a.i(3), rows = a.i(4);
  if (!holds(a, 1, count, 1, 4)) return too_small();
  const int32_t* idx = a.ptr<int32_t>(1);
  return by_dtype(a.i(0), [&](auto tt) {
    return by_dtype(a.i(1), [&](auto ty) {
      using X = decltype(tt);
      using Y = decltype(ty);
      if (!holds(a, 0, rows, cols, sizeof(X)) || !holds(a, 2, count, cols, sizeof(Y))) {
        return too_small();
      }
      const Status checked = check_indices(idx, count, rows);
      if (checked != Status::ok) return checked;
      const X* table = a.ptr<X>(0);
      Y* y = a.ptr<Y>(2);
      parallel(count, row_grain(cols), [=](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const X* from = table + idx[r] * cols;
          Y* to = y + r * cols;
          each_vector(0, cols, [=](int64_t i, int k) UM_BODY { put(to + i, get(from + i, k), k); });
        }
      });
      return Status::ok;
    });
  });
}

// Each task owns a strip of columns and walks the indices in order, so every sum has one order.
Status scatter_add_rows(const KernelArgs& a) {
  const int64_t count = a.i(1), cols = a.i(2), rows = a.i(3);
  if (!holds(a, 1, count, 1, 4) || !holds(a, 2, rows, cols, 4)) return too_small();
  const int32_t* idx = a.ptr<int32_t>(1);
  float* table = a.ptr<float>(2);
  return by_dtype(a.i(0), [&](auto tag) {
    using T = decltype(tag);
    if (!holds(a, 0, count, cols, sizeof(T))) return too_small();
    const Status checked = check_indices(idx, count, rows);
    if (checked != Status::ok) return checked;
    if (rows == 0 || cols == 0) return Status::ok;
    const T* dy = a.ptr<T>(0);
    parallel(rows * cols, 65536, [=](int64_t begin, int64_t end) {
      __builtin_memset(table + begin, 0, static_cast<size_t>(end - begin) * 4);
    });
    parallel(cols, 128, [=](int64_t begin, int64_t end) {
      for (int64_t r = 0; r < count; ++r) {
        float* to = table + idx[r] * cols;
        const T* from = dy + r * cols;
        each_vector(begin, end, [=](int64_t i, int k) UM_BODY {
          put(to + i, get(to + i, k) + get(from + i, k), k);
        });
      }
    });
    return Status::ok;
  });
}

}  // namespace

void register_indexing(KernelTable& t) {
  t.fn[k_gather_rows] = gather_rows;
  t.fn[k_scatter_add_rows] = scatter_add_rows;
}

}  // namespace unimoer::UNIMOER_ISA_NS
