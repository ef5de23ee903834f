// Sparsegen (Laha et al., NeurIPS 2018) and the top-k mask, for rows of few experts.
#include "../simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// p = max(z - tau, 0) / (1 - lambda), tau from the largest support k with
// 1 - lambda + k z_(k) > z_(1) + ... + z_(k).
void sparsegen_row(const float* z, int64_t n, double room, float* sorted, float* p) {
  for (int64_t i = 0; i < n; ++i) {
    int64_t j = i;
    for (; j > 0 && sorted[j - 1] < z[i]; --j) sorted[j] = sorted[j - 1];
    sorted[j] = z[i];
  }
  double sum = 0.0, tau = 0.0;
  for (int64_t k = 1; k <= n; ++k) {
    const double with = sum + sorted[k - 1];
    if (!(room + static_cast<double>(k) * sorted[k - 1] > with)) break;
    sum = with;
    tau = (sum - room) / static_cast<double>(k);
  }
  for (int64_t i = 0; i < n; ++i) {
    const double v = (z[i] - tau) / room;
    p[i] = v > 0.0 ? static_cast<float>(v) : v != v ? __builtin_nanf("") : 0.0f;
  }
}

Status check_lambda(double lambda) {
  if (lambda < 1.0) return Status::ok;
  return fail(Status::bad_argument, "sparsegen needs lambda < 1");
}

Status sparsegen(const KernelArgs& a) {
  const int64_t rows = a.i(0), n = a.i(1);
  if (!holds(a, 0, rows, n, 4) || !a.has(1, 4) || !holds(a, 2, rows, n, 4)) return too_small();
  const double lambda = *a.ptr<float>(1);
  const Status checked = check_lambda(lambda);
  if (checked != Status::ok) return checked;
  if (n == 0) return Status::ok;
  const float* z = a.ptr<float>(0);
  float* p = a.ptr<float>(2);
  bool failed = false;
  parallel(rows, row_grain(16 * n), [=, &failed](int64_t begin, int64_t end) {
    float* sorted = static_cast<float*>(scratch(0, static_cast<size_t>(n) * 4));
    if (sorted == nullptr) {
      __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
      return;
    }
    for (int64_t r = begin; r < end; ++r) {
      sparsegen_row(z + r * n, n, 1.0 - lambda, sorted, p + r * n);
    }
  });
  return failed ? no_scratch() : Status::ok;
}

Status sparsegen_grad(const KernelArgs& a) {
  const int64_t n = a.i(1), rows = n == 0 ? 0 : a.i(0);
  if (!holds(a, 0, rows, n, 4) || !holds(a, 1, rows, n, 4) || !a.has(2, 4) ||
      !holds(a, 3, rows, n, 4) || !a.has(4, 4)) {
    return too_small();
  }
  const double lambda = *a.ptr<float>(2);
  const Status checked = check_lambda(lambda);
  if (checked != Status::ok) return checked;
  const float* dp = a.ptr<float>(0);
  const float* p = a.ptr<float>(1);
  float* dz = a.ptr<float>(3);
  double* per_row = static_cast<double*>(scratch(0, static_cast<size_t>(rows + 1) * 8));
  if (per_row == nullptr) return no_scratch();
  const double inverse = 1.0 / (1.0 - lambda);
  parallel(rows, row_grain(4 * n), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* g = dp + r * n;
      const float* q = p + r * n;
      double sum = 0.0;
      int64_t support = 0;
      for (int64_t i = 0; i < n; ++i) {
        if (q[i] > 0.0f) {
          sum += g[i];
          ++support;
        }
      }
      const double share = support > 0 ? 1.0 / static_cast<double>(support) : 0.0;
      double toward_lambda = 0.0;
      for (int64_t i = 0; i < n; ++i) {
        const bool active = q[i] > 0.0f;
        dz[r * n + i] = active ? static_cast<float>((g[i] - sum * share) * inverse) : 0.0f;
        if (active) toward_lambda += (q[i] - share) * g[i];
      }
      per_row[r] = toward_lambda * inverse;
    }
  });
  double total = 0.0;
  for (int64_t r = 0; r < rows; ++r) total += per_row[r];
  *a.ptr<float>(4) = static_cast<float>(total);
  return Status::ok;
}

// An entry is in when fewer than k entries beat it; equal values are beaten by lower indices.
Status top_k_mask(const KernelArgs& a) {
  const int64_t rows = a.i(0), n = a.i(1), k = a.i(2);
  if (!holds(a, 0, rows, n, 4) || !holds(a, 1, rows, n, 4)) return too_small();
  if (n == 0) return Status::ok;
  const float* p = a.ptr<float>(0);
  float* mask = a.ptr<float>(1);
  parallel(rows, row_grain(n * n), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* q = p + r * n;
      for (int64_t i = 0; i < n; ++i) {
        int64_t ahead = 0;
        for (int64_t j = 0; j < n; ++j) ahead += q[j] > q[i] || (q[j] == q[i] && j < i);
        mask[r * n + i] = ahead < k ? 1.0f : 0.0f;
      }
    }
  });
  return Status::ok;
}

}  // namespace

void register_routing(KernelTable& t) {
  t.fn[k_sparsegen] = sparsegen;
  t.fn[k_sparsegen_grad] = sparsegen_grad;
  t.fn[k_top_k_mask] = top_k_mask;
}

}  // namespace unimoer::UNIMOER_ISA_NS
