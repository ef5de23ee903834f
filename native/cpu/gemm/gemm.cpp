// gemm [a, b, c, bias?](dta, dtb, dtc, m, n, k, transA, transB, alpha, beta):
// c = alpha op(a) op(b) + beta c + bias. bf16 by bf16 multiplies in bf16, any other pair in f32; sums
// are f32.
#include "cpu/gemm/core/core.h"
#include "cpu/simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

constexpr int kSlotPanels = 7;
constexpr int64_t kTallDepth = 512;            // a sum this long over few rows of op(a)
constexpr int64_t kPanelBudget = 64 << 20;  // bytes of op(b) interleaved at a time

Status gemm(const KernelArgs& args) {
  const int dta = static_cast<int>(args.i(0)), dtb = static_cast<int>(args.i(1)), dtc = static_cast<int>(args.i(2));
  const int64_t m = args.i(3), n = args.i(4), k = args.i(5);
  const bool trans_a = args.i(6) != 0, trans_b = args.i(7) != 0;
  const float alpha = args.f(8), beta = args.f(9);
  if (!dtype_size(dta) || !dtype_size(dtb) || !dtype_size(dtc)) return bad_dtype();
  if (m < 0 || n < 0 || k < 0 || !holds(args, 0, m, k, dtype_size(dta)) || !holds(args, 1, k, n, dtype_size(dtb)) ||
      !holds(args, 2, m, n, dtype_size(dtc)) || !holds_or_absent(args, 3, 1, n, 4))
    return too_small();
  if (m == 0 || n == 0) return Status::ok;
  const Compute c = compute_unpacked(dta, dtb);
  const bool pairs = pairs_in_b(c);
  const int64_t words = words_b(c, k);
  const Source a{args.buf[0], dta, trans_a ? 1 : k, trans_a ? m : 1};
  if (trans_a && m <= kTallRows && k >= kTallDepth) {
    const Source b{args.buf[1], dtb, trans_b ? k : 1, trans_b ? 1 : n};
    return multiply_tall(c, a, m, b, n, k, Output{args.buf[2], dtc, n, args.ptr<float>(3), alpha, beta});
  }
  const int64_t wide = smaller(ceil_div(n, kPanel), larger(1, kPanelBudget / (kPanel * 4 * larger(words, 1)))) * kPanel;
  auto* data = static_cast<uint32_t*>(scratch(kSlotPanels, panel_bytes(smaller(n, wide), words)));
  if (!data) return no_scratch();
  for (int64_t column = 0; column < n; column += wide) {
    const int64_t columns = smaller(wide, n - column);
    const char* start = args.ptr<char>(1) + column * (trans_b ? k : 1) * dtype_size(dtb);
    const Source b{start, dtb, trans_b ? k : 1, trans_b ? 1 : n};
    interleave_panels_parallel(data, b, columns, k, pairs);
    const float* bias = args.ptr<float>(3);
    const Output out{args.ptr<char>(2) + column * dtype_size(dtc), dtc,  n, bias ? bias + column : nullptr,
                     alpha, beta};
    const Status status = multiply(c, a, m, k, Panels{data, columns, words}, out);
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

}  // namespace

void register_gemm(KernelTable& table) { table.fn[k_gemm] = gemm; }

}  // namespace unimoer::UNIMOER_ISA_NS
