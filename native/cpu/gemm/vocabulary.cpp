// Cross entropy over a vocabulary whose logits are never stored.
// vocabulary_cross_entropy [x, packed, targets, loss, lse](dtx, dtPack, rows, vocabulary, k): logits = x wT with
// w [vocabulary, k] packed by pack_weight.
// vocabulary_cross_entropy_grad [dloss, x, packed, packedT, targets, lse, dx](the same): the logits again from `packed`,
// then dx = dloss (softmax - one-hot) w through `packedT`, the pack for dx = dy w. Transposing tiles of the forward pack
// instead would spare the second pack, but moves every weight once more per call, which costs more than the product
// where rows are few.
#include "cpu/gemm/score_tiles.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

struct Shape {
  int dtx, dtype;
  int64_t rows, vocabulary, k;
  explicit Shape(const KernelArgs& args)
      : dtx(static_cast<int>(args.i(0))),
        dtype(static_cast<int>(args.i(1))),
        rows(args.i(2)),
        vocabulary(args.i(3)),
        k(args.i(4)) {}
  UM_INLINE bool sane() const {
    return rows >= 0 && rows < INT32_MAX && vocabulary > 0 && vocabulary < INT32_MAX && k > 0 && k < INT32_MAX;
  }
  UM_INLINE Compute compute() const { return compute_for(dtx, dtype); }
  UM_INLINE int64_t packed() const { return static_cast<int64_t>(panel_bytes(vocabulary, words_b(compute(), k))); }
  UM_INLINE int64_t reversed() const { return static_cast<int64_t>(panel_bytes(k, words_b(compute(), vocabulary))); }
  UM_INLINE Scores scores(const uint32_t* staged, const uint32_t* panels) const {
    return Scores{compute(), rows, k, staged, Panels{panels, vocabulary, words_b(compute(), k)}, 1.0f, nullptr, 0, 0};
  }
};

Status vocabulary_cross_entropy(const KernelArgs& args) {
  const Shape s(args);
  if (!dtype_size(s.dtx) || !dtype_size(s.dtype)) return bad_dtype();
  if (!s.sane() || !holds(args, 0, s.rows, s.k, dtype_size(s.dtx)) || !holds(args, 1, 1, s.packed(), 1) ||
      !holds(args, 2, s.rows, 1, 4) || !holds(args, 3, s.rows, 1, 4) || !holds(args, 4, s.rows, 1, 4))
    return too_small();
  if (s.rows == 0) return Status::ok;
  const int32_t* target = args.ptr<int32_t>(2);
  const Status checked = check_score_targets(target, s.rows, s.vocabulary);
  if (checked != Status::ok) return checked;
  const uint32_t* staged = stage_rows(Source{args.buf[0], s.dtx, s.k, 1}, s.rows, s.k, s.compute());
  if (!staged) return no_scratch();
  float *loss = args.ptr<float>(3), *lse = args.ptr<float>(4);
  const Status status = log_sum_exp(s.scores(staged, args.ptr<uint32_t>(1)), target, lse, loss);
  if (status == Status::ok) finish_loss(target, lse, loss, s.rows);
  return status;
}

Status vocabulary_cross_entropy_grad(const KernelArgs& args) {
  const Shape s(args);
  if (!dtype_size(s.dtx) || !dtype_size(s.dtype)) return bad_dtype();
  if (!s.sane() || !holds(args, 0, s.rows, 1, 4) || !holds(args, 1, s.rows, s.k, dtype_size(s.dtx)) ||
      !holds(args, 2, 1, s.packed(), 1) || !holds(args, 3, 1, s.reversed(), 1) || !holds(args, 4, s.rows, 1, 4) ||
      !holds(args, 5, s.rows, 1, 4) || !holds(args, 6, s.rows, s.k, dtype_size(s.dtx)))
    return too_small();
  if (s.rows == 0) return Status::ok;
  const int32_t* target = args.ptr<int32_t>(4);
  const Status checked = check_score_targets(target, s.rows, s.vocabulary);
  if (checked != Status::ok) return checked;
  const uint32_t* staged = stage_rows(Source{args.buf[1], s.dtx, s.k, 1}, s.rows, s.k, s.compute());
  if (!staged) return no_scratch();
  return by_dtype(s.dtx, [&](auto tag) {
    return weighted_sum(s.scores(staged, args.ptr<uint32_t>(2)),
                        Panels{args.ptr<uint32_t>(3), s.k, words_b(s.compute(), s.vocabulary)},
                        args.ptr<decltype(tag)>(6),
                        SoftmaxOfRows{args.ptr<float>(0), args.ptr<float>(5), target, 1.0f});
  });
}

}  // namespace

void register_vocabulary(KernelTable& table) {
  table.fn[k_vocabulary_cross_entropy] = vocabulary_cross_entropy;
  table.fn[k_vocabulary_cross_entropy_grad] = vocabulary_cross_entropy_grad;
}

}  // namespace unimoer::UNIMOER_ISA_NS
