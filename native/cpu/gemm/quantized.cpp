// Frozen weights in 8 or 4 bits (quant/quant.h). `group` counts for 4 bits only.
// quantize_weight [w, q](dtw, bits, group, n, k): w [n, k].
// dequantize_weight [q, w](bits, group, dtw, n, k): the weight that products use.
// expand_quantized [q, packed](bits, group, dtPack, n, k, trans): as pack_weight would pack that.
// linear_quantized [x, q, bias?, y](dtx, bits, group, integer, m, n, k, trans, add): y = x wT + bias, or with
// trans y = x w for x [m, n], on top of the old y with add; integer: x in 8 bits per row, with neither.
#include "cpu/gemm/quant/quant.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// Reads the weight at buffer `i`.
Status read_quantized(const KernelArgs& args, int i, int64_t bits, int64_t group, int64_t n, int64_t k, Quantized& q) {
  if (bits != 8 && bits != 4) return fail(Status::unsupported, "weights are quantised to 8 or 4 bits");
  if (!quantizable(static_cast<int>(bits), group, n, k))
    return fail(Status::bad_argument, "quantised weights need positive sizes and groups in multiples of 16");
  q = Quantized{static_cast<int>(bits), group, n, k, args.ptr<char>(i)};
  return args.has(i, q.bytes()) ? Status::ok : too_small();
}

size_t quantized_bytes(int bits, int64_t group, int64_t n, int64_t k) {
  if (!quantizable(bits, group, n, k)) return 0;
  return static_cast<size_t>(Quantized{bits, group, n, k, nullptr}.bytes());
}

Status quantize_weight(const KernelArgs& args) {
  const int dtype = static_cast<int>(args.i(0));
  const int64_t n = args.i(3), k = args.i(4);
  if (!dtype_size(dtype)) return bad_dtype();
  Quantized q;
  const Status status = read_quantized(args, 1, args.i(1), args.i(2), n, k, q);
  if (status != Status::ok) return status;
  if (!holds(args, 0, n, k, dtype_size(dtype))) return too_small();
  return quantize(q, args.buf[0], dtype) ? Status::ok : fail(Status::bad_argument, "a weight is NaN or infinite");
}

Status dequantize_weight(const KernelArgs& args) {
  const int dtype = static_cast<int>(args.i(2));
  const int64_t n = args.i(3), k = args.i(4);
  if (!dtype_size(dtype)) return bad_dtype();
  Quantized q;
  const Status status = read_quantized(args, 0, args.i(0), args.i(1), n, k, q);
  if (status != Status::ok) return status;
  if (!holds(args, 1, n, k, dtype_size(dtype))) return too_small();
  dequantize(q, args.buf[1], dtype);
  return Status::ok;
}

Status expand_quantized(const KernelArgs& args) {
  const int dtype = static_cast<int>(args.i(2));
  const int64_t n = args.i(3), k = args.i(4);
  const bool trans = args.i(5) != 0, pairs = dtype == kBF16;
  if (!dtype_size(dtype)) return bad_dtype();
  Quantized q;
  const Status status = read_quantized(args, 0, args.i(0), args.i(1), n, k, q);
  if (status != Status::ok) return status;
  const int64_t lanes = trans ? k : n, depth = trans ? n : k, words = pairs ? (depth + 1) / 2 : depth;
  if (!holds(args, 1, padded_columns(lanes), words, 4)) return too_small();
  uint32_t* out = args.ptr<uint32_t>(1);
  const int64_t unit = trans ? 2 : 1, panels = panel_count(lanes);
  parallel(ceil_div(panels, unit), larger(1, 65536 / (kPanel * depth)), [&](int64_t first, int64_t last) {
    first *= unit;
    last = smaller(last * unit, panels);
    if (trans)
      expand_reverse(q, pairs, first, last, out + first * kPanel * words);
    else
      expand_forward(q, pairs, first, last, out + first * kPanel * words);
  });
  return Status::ok;
}

Status linear_quantized(const KernelArgs& args) {
  const int dtx = static_cast<int>(args.i(0));
  const int64_t m = args.i(4), n = args.i(5), k = args.i(6);
  QuantizedProduct product{{}, args.i(3) != 0, args.i(7) != 0};
  if (!dtype_size(dtx)) return bad_dtype();
  const Status status = read_quantized(args, 1, args.i(1), args.i(2), n, k, product.w);
  if (status != Status::ok) return status;
  const bool add = args.i(8) != 0;
  const int64_t int_depth = product.w.bits == 8 ? k : smaller(k, product.w.group);
  if (product.integer && (product.reverse || add || int_depth > kMaxIntDepth))
    return fail(Status::bad_argument, "8-bit activations need at most 131072 inputs to a scale, forward");
  const int64_t depth = product.reverse ? n : k, lanes = product.reverse ? k : n;
  if (!holds(args, 0, m, depth, dtype_size(dtx)) || !holds_or_absent(args, 2, 1, lanes, 4) ||
      !holds(args, 3, m, lanes, dtype_size(dtx)))
    return too_small();
  if (m == 0) return Status::ok;
  return multiply_quantized(product, Source{args.buf[0], dtx, depth, 1}, m,
                            Output{args.buf[3], dtx, lanes, args.ptr<float>(2), 1.0f, add ? 1.0f : 0.0f});
}

}  // namespace

void register_quantized(KernelTable& table) {
  table.fn[k_quantize_weight] = quantize_weight;
  table.fn[k_dequantize_weight] = dequantize_weight;
  table.fn[k_expand_quantized] = expand_quantized;
  table.fn[k_linear_quantized] = linear_quantized;
  table.quantized_bytes = quantized_bytes;
}

}  // namespace unimoer::UNIMOER_ISA_NS
