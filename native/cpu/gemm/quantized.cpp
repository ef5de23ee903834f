// Frozen weights in 8 or 4 bits (quant/quant.h). `group` counts for 4 bits only.
// quantize_weight [w, q](dtw, bits, group, n, k): w [n, k].
// dequantize_weight [q, w](bits, group, dtw, n, k): the weight that products use.
// expand_quantized [q, packed](bits, group, dtPack, n, k, trans): as pack_weight would pack that.
// linear_quantized [x, gate?, then three times q?, bias?, residual?, y?]
//                  (dtx, bits, group, integer, trans, activation, m, k, then three times n)
//   y = act(x) wT + bias + residual for each weight, n = 0 where there is none; activation -1 is none, the others are those
//   of feed_forward, silu(gate) x being 3. A residual may be y. trans: y = x w for x [m, n] and one weight.
//   integer: act(x) in 8 bits per row, not with trans.
#include "cpu/gemm/activate.h"
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
  const bool trans = args.i(5) != 0;
  const Compute form = dtype == kBF16 ? Compute::pairs : Compute::floats;
  if (!dtype_size(dtype)) return bad_dtype();
  Quantized q;
  const Status status = read_quantized(args, 0, args.i(0), args.i(1), n, k, q);
  if (status != Status::ok) return status;
  const int64_t lanes = trans ? k : n, depth = trans ? n : k, words = expanded_words(form, depth);
  if (!holds(args, 1, padded_columns(lanes), words, 4)) return too_small();
  uint32_t* out = args.ptr<uint32_t>(1);
  const int64_t unit = trans ? 2 : 1, panels = panel_count(lanes);
  parallel(ceil_div(panels, unit), larger(1, 65536 / (kPanel * depth)), [&](int64_t first, int64_t last) {
    first *= unit;
    last = smaller(last * unit, panels);
    if (trans)
      expand_reverse(q, form, first, last, out + first * kPanel * words);
    else
      expand_forward(q, form, first, last, out + first * kPanel * words);
  });
  return Status::ok;
}

Status linear_quantized(const KernelArgs& args) {
  constexpr int kFirst = 2, kStride = 4, kSizes = 8;
  const int dtx = static_cast<int>(args.i(0));
  const int64_t activation = args.i(5), m = args.i(6), k = args.i(7);
  if (!dtype_size(dtx)) return bad_dtype();
  if (activation < kNoActivation || activation > kSwiglu)
    return fail(Status::bad_argument, "linear_quantized: the activation must be one of -1 to 3");
  QuantizedProducts p{args.i(3) != 0, args.i(4) != 0, static_cast<int>(activation), {}, args.buf[1], m, 0, {}, {}};
  for (int i = 0; i < kMaxWeights && args.i(kSizes + i) != 0; ++i, ++p.count) {
    const int at = kFirst + i * kStride;
    const Status status = read_quantized(args, at, args.i(1), args.i(2), args.i(kSizes + i), k, p.w[i]);
    if (status != Status::ok) return status;
    const int64_t lanes = p.lanes(i);
    if (!holds_or_absent(args, at + 1, 1, lanes, 4) || !holds_or_absent(args, at + 2, m, lanes, dtype_size(dtx)) ||
        !holds(args, at + 3, m, lanes, dtype_size(dtx)))
      return too_small();
    p.out[i] = Output{args.buf[at + 3], dtx, lanes, args.ptr<float>(at + 1), 1.0f, 0.0f, args.buf[at + 2]};
  }
  if (p.count == 0 || (p.reverse && p.count > 1))
    return fail(Status::bad_argument, "linear_quantized takes one to three weights forward, and one in reverse");
  const int64_t int_depth = p.w[0].bits == 8 ? k : smaller(k, p.w[0].group);
  if (p.integer && (p.reverse || int_depth > kMaxIntDepth))
    return fail(Status::bad_argument, "8-bit activations need at most 131072 inputs to a scale, forward");
  const int64_t depth = p.depth();
  if (!holds(args, 0, m, depth, dtype_size(dtx)) || (activation == kSwiglu && !holds(args, 1, m, depth, dtype_size(dtx))))
    return too_small();
  if (m == 0) return Status::ok;
  p.x = Source{args.buf[0], dtx, depth, 1};
  return multiply_quantized(p);
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
