// Frozen weights, interleaved once.
// pack_weight [w, out](dtw, dtPack, n, k, trans): w is [n, k]; trans 0 packs for y = x wT, 1 for dx = dy w.
// linear_packed [x, packed, bias?, residual?, y](dtx, dtPack, m, n, k): y = x wT + bias + residual; the residual may
// be y.
#include "cpu/gemm/core/core.h"
#include "cpu/simd/kernel_util.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

bool packable(int64_t n, int64_t k) { return n >= 0 && k >= 0 && n < INT32_MAX && k < INT32_MAX; }

int64_t weight_bytes(int dtype, int64_t n, int64_t k) {
  return static_cast<int64_t>(panel_bytes(n, dtype == kBF16 ? (k + 1) / 2 : k));
}

// Either orientation fits.
size_t packed_bytes(int dtype, int64_t n, int64_t k) {
  if (!dtype_size(dtype) || !packable(n, k)) return 0;
  return static_cast<size_t>(larger(weight_bytes(dtype, n, k), weight_bytes(dtype, k, n)));
}

Status pack_weight(const KernelArgs& args) {
  const int dtw = static_cast<int>(args.i(0)), dtype = static_cast<int>(args.i(1));
  const int64_t n = args.i(2), k = args.i(3);
  const bool trans = args.i(4) != 0;
  if (!dtype_size(dtw) || !dtype_size(dtype)) return bad_dtype();
  if (!packable(n, k) || !holds(args, 0, n, k, dtype_size(dtw))) return too_small();
  const int64_t columns = trans ? k : n, depth = trans ? n : k;
  if (!args.has(1, weight_bytes(dtype, columns, depth))) return too_small();
  const Source b{args.buf[0], dtw, trans ? 1 : k, trans ? k : 1};
  interleave_panels_parallel(args.ptr<uint32_t>(1), b, columns, depth, dtype == kBF16);
  return Status::ok;
}

Status linear_packed(const KernelArgs& args) {
  const int dtx = static_cast<int>(args.i(0)), dtype = static_cast<int>(args.i(1));
  const int64_t m = args.i(2), n = args.i(3), k = args.i(4);
  if (!dtype_size(dtx) || !dtype_size(dtype)) return bad_dtype();
  if (!packable(n, k) || !holds(args, 0, m, k, dtype_size(dtx)) || !holds(args, 1, 1, weight_bytes(dtype, n, k), 1) ||
      !holds_or_absent(args, 2, 1, n, 4) || !holds_or_absent(args, 3, m, n, dtype_size(dtx)) ||
      !holds(args, 4, m, n, dtype_size(dtx)))
    return too_small();
  const Compute c = compute_for(dtx, dtype);
  const Output out{args.buf[4], dtx, n, args.ptr<float>(2), 1.0f, 0.0f, args.buf[3]};
  return multiply(c, Source{args.buf[0], dtx, k, 1}, m, k, Panels{args.ptr<uint32_t>(1), n, words_b(c, k)}, out);
}

}  // namespace

void register_packed(KernelTable& table) {
  table.fn[k_pack_weight] = pack_weight;
  table.fn[k_linear_packed] = linear_packed;
  table.packed_bytes = packed_bytes;
}

}  // namespace unimoer::UNIMOER_ISA_NS
