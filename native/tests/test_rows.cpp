// Row-wise kernels against double-precision loops: reductions, softmax, norms, pooling, indexing,
// rope, cross entropy, routing.
#include "check.h"

using namespace check;
using unimoer::kBF16;
using unimoer::kF32;
using unimoer::Status;

namespace {

struct Size {
  int rows, cols;
};
const Size kSizes[] = {{1, 1}, {3, 5}, {7, 16}, {130, 17}, {5, 384}, {67, 100}, {2, 1031}, {0, 8}};
constexpr int kDTypes[] = {kF32, kBF16};
using Doubles = std::vector<double>;

double tolerance(int dt, double f32 = 2e-6) { return dt == kBF16 ? 1.0 / 200 : f32; }
Values narrowed(const Doubles& x) { return Values(x.begin(), x.end()); }
Values rounded(Values v, int dt) {
  if (dt == kBF16)
    for (float& x : v) x = from_bf16(to_bf16(x));
  return v;
}

void test_reductions(Random& random, Size s, int dt) {
  const std::size_t n = s.rows * s.cols;
  const Values x = random_values(random, n, dt);
  Doubles by_col(s.cols), by_row(s.rows);
  double squares = 0;
  for (int r = 0; r < s.rows; ++r)
    for (int c = 0; c < s.cols; ++c) {
      by_col[c] += x[r * s.cols + c];
      by_row[r] += x[r * s.cols + c];
      squares += double(x[r * s.cols + c]) * x[r * s.cols + c];
    }
  Buffer bx = Buffer::of(x, dt), cols = Buffer::empty(s.cols, kF32), rows = Buffer::empty(s.rows, kF32);
  call(unimoer::k_sum_rows, {&bx, &cols}, {double(dt), double(s.rows), double(s.cols)});
  call(unimoer::k_sum_cols, {&bx, &rows}, {double(dt), double(s.rows), double(s.cols)});
  expect_close(cols.values(), narrowed(by_col), 3e-6, 1, "sum_rows");
  expect_close(rows.values(), narrowed(by_row), 3e-6, 1, "sum_cols");
  Buffer wide = Buffer::of(x, kF32), one = Buffer::empty(1, kF32);
  call(unimoer::k_sum_squares, {&wide, &one}, {double(n)});
  expect_close(one.values(), {static_cast<float>(squares)}, 2e-6, 1, "sum_squares");
}

void test_long_sums(Random& random) {
  const int n = 300000;
  const Values x = random_values(random, n, kF32);
  double sum = 0;
  for (const float v : x) sum += v;
  Buffer bx = Buffer::of(x, kF32), y = Buffer::empty(1, kF32), column = Buffer::empty(3, kF32);
  call(unimoer::k_sum_cols, {&bx, &y}, {kF32, 1, double(n)});
  expect_close(y.values(), {static_cast<float>(sum)}, 1e-4, 1, "sum of a long row");
  Doubles want(3);
  for (int i = 0; i < n; ++i) want[i % 3] += x[i];
  call(unimoer::k_sum_rows, {&bx, &column}, {kF32, n / 3.0, 3});
  expect_close(column.values(), narrowed(want), 1e-4, 1, "sum of long columns");
}

void test_softmax(Random& random, Size s, int dt) {
  const std::size_t n = s.rows * s.cols;
  const Values x = random_values(random, n, dt, 20), dy = random_values(random, n, dt);
  Doubles p(n), lp(n), dx(n), dlx(n);
  for (int r = 0; r < s.rows; ++r) {
    double max = -1e300, sum = 0, dot = 0, total = 0;
    const int at = r * s.cols;
    for (int c = 0; c < s.cols; ++c) max = std::max(max, double(x[at + c]));
    for (int c = 0; c < s.cols; ++c) sum += std::exp(x[at + c] - max);
    for (int c = 0; c < s.cols; ++c) {
      lp[at + c] = x[at + c] - max - std::log(sum);
      p[at + c] = std::exp(lp[at + c]);
    }
    const Values rp = rounded(Values(p.begin() + at, p.begin() + at + s.cols), dt);
    const Values rl = rounded(Values(lp.begin() + at, lp.begin() + at + s.cols), dt);
    for (int c = 0; c < s.cols; ++c) {
      dot += double(dy[at + c]) * rp[c];
      total += dy[at + c];
    }
    for (int c = 0; c < s.cols; ++c) {
      dx[at + c] = rp[c] * (dy[at + c] - dot);
      dlx[at + c] = dy[at + c] - std::exp(double(rl[c])) * total;
    }
  }
  Buffer bx = Buffer::of(x, dt), bd = Buffer::of(dy, dt), y = Buffer::empty(n, dt), g = y;
  const std::initializer_list<double> args = {double(dt), double(s.rows), double(s.cols)};
  call(unimoer::k_softmax, {&bx, &y}, args);
  expect_close(y.values(), narrowed(p), tolerance(dt, 1e-6), 1e-3, "softmax");
  y = Buffer::of(narrowed(p), dt);
  call(unimoer::k_softmax_grad, {&bd, &y, &g}, args);
  expect_close(g.values(), narrowed(dx), tolerance(dt), 1, "softmax_grad");
  call(unimoer::k_log_softmax, {&bx, &y}, args);
  expect_close(y.values(), narrowed(lp), tolerance(dt, 1e-6), 1, "log_softmax");
  y = Buffer::of(narrowed(lp), dt);
  call(unimoer::k_log_softmax_grad, {&bd, &y, &g}, args);
  expect_close(g.values(), narrowed(dlx), tolerance(dt), 1, "log_softmax_grad");
}

// LayerNorm and RMSNorm are one oracle: RMSNorm has mean 0 and no bias.
void test_norm(Random& random, Size s, int dt, bool layer, bool weighted, bool residual) {
  const std::size_t n = s.rows * s.cols;
  const double eps = 1e-5;
  const Values x = random_values(random, n, dt, 3), res = random_values(random, n, dt), dy = random_values(random, n, dt);
  const Values w = random_values(random, s.cols, kF32), b = random_values(random, s.cols, kF32);
  const Values dsum = random_values(random, n, dt);
  Values sum(n);
  for (std::size_t i = 0; i < n; ++i) sum[i] = x[i] + (residual ? res[i] : 0);
  sum = rounded(sum, dt);
  Doubles y(n), mean(s.rows), rstd(s.rows), dx(n), dw(s.cols), db(s.cols);
  for (int r = 0; r < s.rows; ++r) {
    const int at = r * s.cols;
    double var = 0, c1 = 0, c2 = 0;
    for (int c = 0; c < s.cols && layer; ++c) mean[r] += double(sum[at + c]) / s.cols;
    for (int c = 0; c < s.cols; ++c) var += (sum[at + c] - mean[r]) * (sum[at + c] - mean[r]) / s.cols;
    rstd[r] = 1 / std::sqrt(var + eps);
    for (int c = 0; c < s.cols; ++c) {
      const double xhat = (sum[at + c] - mean[r]) * rstd[r], wc = weighted ? w[c] : 1, g = dy[at + c] * wc;
      y[at + c] = xhat * wc + (layer && weighted ? b[c] : 0);
      if (layer) c1 += g / s.cols;
      c2 += g * xhat / s.cols;
      dw[c] += dy[at + c] * xhat;
      db[c] += dy[at + c];
    }
    for (int c = 0; c < s.cols; ++c) {
      const double xhat = (sum[at + c] - mean[r]) * rstd[r], g = dy[at + c] * (weighted ? w[c] : 1.0);
      dx[at + c] = rstd[r] * (g - c1 - xhat * c2) + (!layer && residual ? dsum[at + c] : 0);
    }
  }
  const std::string name = std::string(layer ? "layer_norm" : "rms_norm") + (weighted ? " weighted" : "") +
                           (residual ? " residual" : "") + " cols " + std::to_string(s.cols);
  Buffer none = Buffer::absent();
  Buffer bx = Buffer::of(x, dt), br = residual ? Buffer::of(res, dt) : none, by = Buffer::empty(n, dt);
  Buffer bw = weighted ? Buffer::of(w, kF32) : none, bb = weighted ? Buffer::of(b, kF32) : none;
  Buffer bs = Buffer::empty(n, dt), bm = Buffer::empty(s.rows, kF32), bt = bm, bg = Buffer::of(dy, dt);
  Buffer dx1 = Buffer::empty(n, dt), dw1 = Buffer::empty(s.cols, kF32), db1 = dw1;
  Buffer extra = residual ? Buffer::of(dsum, dt) : none, dx2 = dx1;
  const double rows = s.rows, cols = s.cols;
  if (layer) {
    call(unimoer::k_layer_norm, {&bx, &br, &bw, &bb, &by, &bs, &bm, &bt}, {double(dt), rows, cols, eps});
    expect_close(bm.values(), narrowed(mean), 2e-6, 1, name + " mean");
    call(unimoer::k_layer_norm_grad, {&bg, &bs, &bw, &bm, &bt, &dx1, &dw1, &db1}, {double(dt), rows, cols});
    call(unimoer::k_layer_norm_grad, {&bg, &bs, &bw, &bm, &bt, &dx2, &none, &none}, {double(dt), rows, cols});
    expect_close(db1.values(), narrowed(db), 1e-5, 1, name + " db");
  } else {
    call(unimoer::k_rms_norm, {&bx, &br, &bw, &by, &bs, &bt}, {double(dt), rows, cols, eps});
    call(unimoer::k_rms_norm_grad, {&bg, &bs, &bw, &bt, &extra, &dx1, &dw1}, {double(dt), rows, cols});
    call(unimoer::k_rms_norm_grad, {&bg, &bs, &bw, &bt, &extra, &dx2, &none}, {double(dt), rows, cols});
  }
  expect(bs.values() == sum, name + " sum");
  expect(dx1.bytes == dx2.bytes, name + " dx does not depend on dw");
  if (s.cols > 1) {  // one column has zero variance, which magnifies rounding
    expect_close(bt.values(), narrowed(rstd), 1e-5, 0, name + " rstd");
    expect_close(by.values(), narrowed(y), tolerance(dt, 1e-5), 1, name);
    expect_close(dx1.values(), narrowed(dx), tolerance(dt, 2e-5), 1, name + " dx");
    expect_close(dw1.values(), narrowed(dw), 2e-5, 1, name + " dw");
  }
}

void test_pooling(Random& random, int cols, int dt) {
  const std::vector<int> cu{0, 4, 4, 5, 22};
  const std::size_t n = cu.back() * cols;
  const Values x = random_values(random, n, dt), dy = random_values(random, 4 * cols, kF32);
  Doubles mean(4 * cols), dx(n);
  for (int s = 0; s < 4; ++s)
    for (int r = cu[s]; r < cu[s + 1]; ++r)
      for (int c = 0; c < cols; ++c) {
        mean[s * cols + c] += double(x[r * cols + c]) / (cu[s + 1] - cu[s]);
        dx[r * cols + c] = double(dy[s * cols + c]) / (cu[s + 1] - cu[s]);
      }
  Buffer bx = Buffer::of(x, dt), bc = Buffer::ints(cu), y = Buffer::empty(4 * cols, kF32), g = Buffer::empty(n, dt);
  Buffer bd = Buffer::of(dy, kF32), falling = Buffer::ints({0, 4, 3, 5, 22});
  const std::initializer_list<double> args = {double(dt), 4, double(cols)};
  call(unimoer::k_segment_mean, {&bx, &bc, &y}, args);
  expect_close(y.values(), narrowed(mean), 1e-6, 1, "segment_mean");
  call(unimoer::k_segment_mean_grad, {&bd, &bc, &g}, args);
  expect_close(g.values(), narrowed(dx), tolerance(dt), 0.1, "segment_mean_grad");
  expect(call(unimoer::k_segment_mean, {&bx, &falling, &y}, args) == Status::bad_argument, "falling offsets");
}

void test_l2(Random& random, Size s, int dt) {
  const std::size_t n = s.rows * s.cols;
  Values x = random_values(random, n, dt);
  for (int c = 0; c < s.cols && s.rows > 1; ++c) x[c] = 0;  // a zero row meets eps
  const Values dy = random_values(random, n, kF32);
  const double eps = 1e-3;
  Doubles y(n), dx(n);
  for (int r = 0; r < s.rows; ++r) {
    double norm = 0, dot = 0;
    for (int c = 0; c < s.cols; ++c) norm += double(x[r * s.cols + c]) * x[r * s.cols + c];
    norm = std::sqrt(norm);
    const double d = std::max(norm, eps);
    for (int c = 0; c < s.cols; ++c) y[r * s.cols + c] = x[r * s.cols + c] / d;
    for (int c = 0; c < s.cols; ++c) dot += dy[r * s.cols + c] * y[r * s.cols + c];
    for (int c = 0; c < s.cols; ++c)
      dx[r * s.cols + c] = (dy[r * s.cols + c] - (norm > eps ? dot * y[r * s.cols + c] : 0)) / d;
  }
  Buffer bx = Buffer::of(x, dt), by = Buffer::empty(n, kF32), norms = Buffer::empty(s.rows, kF32);
  Buffer bd = Buffer::of(dy, kF32), bg = Buffer::empty(n, dt);
  call(unimoer::k_l2_normalize, {&bx, &by, &norms}, {double(dt), double(s.rows), double(s.cols), eps});
  expect_close(by.values(), narrowed(y), 1e-6, 1, "l2_normalize");
  call(unimoer::k_l2_normalize_grad, {&bd, &by, &norms, &bg}, {double(dt), double(s.rows), double(s.cols), eps});
  expect_close(bg.values(), narrowed(dx), tolerance(dt, 3e-6), 1, "l2_normalize_grad");
}

void test_indexing(Random& random, int cols, int dt, int dty) {
  const int rows = 11;
  const std::vector<int> idx{3, 10, 0, 3, 3, 7};
  const Values table = random_values(random, rows * cols, dt), dy = random_values(random, idx.size() * cols, dty);
  Values want(idx.size() * cols);
  Doubles back(rows * cols);
  for (std::size_t i = 0; i < idx.size(); ++i)
    for (int c = 0; c < cols; ++c) {
      want[i * cols + c] = table[idx[i] * cols + c];
      back[idx[i] * cols + c] += dy[i * cols + c];
    }
  Buffer bt = Buffer::of(table, dt), bi = Buffer::ints(idx), by = Buffer::empty(want.size(), dty);
  Buffer bd = Buffer::of(dy, dty), dtable = Buffer::empty(rows * cols, kF32), wrong = Buffer::ints({0, 1, 2, 3, 4, 11});
  const double m = double(idx.size()), d = cols, r = rows;
  call(unimoer::k_gather_rows, {&bt, &bi, &by}, {double(dt), double(dty), m, d, r});
  expect(by.values() == rounded(want, dty), "gather_rows");
  call(unimoer::k_scatter_add_rows, {&bd, &bi, &dtable}, {double(dty), m, d, r});
  expect_close(dtable.values(), narrowed(back), 1e-6, 1, "scatter_add_rows");
  expect(call(unimoer::k_gather_rows, {&bt, &wrong, &by}, {double(dt), double(dty), m, d, r}) == Status::bad_argument &&
             call(unimoer::k_scatter_add_rows, {&bd, &wrong, &dtable}, {double(dty), m, d, r}) == Status::bad_argument,
         "indices outside the table are refused");
}

void test_rope(Random& random, int heads, int dim, int dt) {
  const std::vector<int> pos{0, 1, 511, 32767, 100000};
  const int tokens = static_cast<int>(pos.size()), half = dim / 2;
  const Values x = random_values(random, tokens * heads * dim, dt);
  Values freq(half);
  for (int i = 0; i < half; ++i) freq[i] = static_cast<float>(std::pow(10000.0, -double(i) / half));
  Doubles want(x.size());
  for (int t = 0; t < tokens; ++t)
    for (int h = 0; h < heads; ++h)
      for (int i = 0; i < half; ++i) {
        const double angle = static_cast<float>(pos[t]) * freq[i], c = std::cos(angle), s = std::sin(angle);
        const std::size_t at = (t * heads + h) * dim + i;
        want[at] = x[at] * c - x[at + half] * s;
        want[at + half] = x[at + half] * c + x[at] * s;
      }
  Buffer bx = Buffer::of(x, dt), bp = Buffer::ints(pos), bf = Buffer::of(freq, kF32), by = Buffer::empty(x.size(), dt);
  Buffer back = by;
  call(unimoer::k_rope, {&bx, &bp, &bf, &by}, {double(dt), double(tokens), double(heads), double(dim), 1});
  expect_close(by.values(), narrowed(want), tolerance(dt, 1e-6), 1, "rope");
  call(unimoer::k_rope, {&by, &bp, &bf, &back}, {double(dt), double(tokens), double(heads), double(dim), -1});
  expect_close(back.values(), x, 2 * tolerance(dt, 1e-6), 1, "rope and back");
}

void test_cross_entropy(Random& random, int rows, int cols) {
  const Values x = random_values(random, rows * cols, kF32, 10), dl = random_values(random, rows, kF32);
  std::vector<int> target(rows);
  for (int r = 0; r < rows; ++r) target[r] = r % 3 == 2 ? -1 : static_cast<int>(random.below(cols));
  Doubles loss(rows), dx(rows * cols);
  for (int r = 0; r < rows; ++r) {
    double sum = 0;
    for (int c = 0; c < cols; ++c) sum += std::exp(double(x[r * cols + c]));
    if (target[r] < 0) continue;
    loss[r] = std::log(sum) - x[r * cols + target[r]];
    for (int c = 0; c < cols; ++c)
      dx[r * cols + c] = dl[r] * (std::exp(double(x[r * cols + c])) / sum - (c == target[r]));
  }
  Buffer bx = Buffer::of(x, kF32), bt = Buffer::ints(target), bl = Buffer::empty(rows, kF32), lse = bl;
  Buffer bd = Buffer::of(dl, kF32), bg = Buffer::empty(rows * cols, kF32);
  call(unimoer::k_cross_entropy, {&bx, &bt, &bl, &lse}, {double(rows), double(cols)});
  expect_close(bl.values(), narrowed(loss), 2e-6, 1, "cross_entropy");
  call(unimoer::k_cross_entropy_grad, {&bd, &bx, &bt, &lse, &bg}, {double(rows), double(cols)});
  expect_close(bg.values(), narrowed(dx), 3e-6, 1, "cross_entropy_grad");
  Buffer wrong = Buffer::ints(std::vector<int>(rows, cols));
  expect(call(unimoer::k_cross_entropy, {&bx, &wrong, &bl, &lse}, {double(rows), double(cols)}) == Status::bad_argument,
         "targets outside the classes are refused");
}

void test_routing(Random& random, int rows, int n, double lambda) {
  const Values z = random_values(random, rows * n, kF32, 2), dp = random_values(random, rows * n, kF32);
  Doubles p(rows * n), dz(rows * n);
  double dlambda = 0;
  const double room = 1 - static_cast<float>(lambda);
  for (int r = 0; r < rows; ++r) {
    // tau by bisection: sum of max(z - tau, 0) falls from above to below 1 - lambda.
    double low = -100, high = 100;
    for (int i = 0; i < 200; ++i) {
      const double tau = (low + high) / 2;
      double sum = 0;
      for (int c = 0; c < n; ++c) sum += std::max(0.0, z[r * n + c] - tau);
      (sum > room ? low : high) = tau;
    }
    double total = 0;
    int support = 0;
    for (int c = 0; c < n; ++c) {
      p[r * n + c] = std::max(0.0, z[r * n + c] - low) / room;
      if (p[r * n + c] > 1e-12) total += dp[r * n + c], ++support;
    }
    for (int c = 0; c < n; ++c)
      if (p[r * n + c] > 1e-12) {
        dz[r * n + c] = (dp[r * n + c] - total / support) / room;
        dlambda += (p[r * n + c] - 1.0 / support) * dp[r * n + c] / room;
      }
  }
  Buffer bz = Buffer::of(z, kF32), bl = Buffer::of({static_cast<float>(lambda)}, kF32), bp = Buffer::empty(rows * n, kF32);
  Buffer bd = Buffer::of(dp, kF32), bg = bp, dl = Buffer::empty(1, kF32);
  call(unimoer::k_sparsegen, {&bz, &bl, &bp}, {double(rows), double(n)});
  expect_close(bp.values(), narrowed(p), 2e-6, 1, "sparsegen");
  call(unimoer::k_sparsegen_grad, {&bd, &bp, &bl, &bg, &dl}, {double(rows), double(n)});
  expect_close(bg.values(), narrowed(dz), 1e-5, 1, "sparsegen_grad");
  expect_close(dl.values(), {static_cast<float>(dlambda)}, 1e-5, 1 + std::sqrt(double(rows)), "sparsegen_grad lambda");
}

void test_top_k() {
  Buffer p = Buffer::of({1, 3, 3, 2, 3, 0, 0, 0}, kF32), m = Buffer::empty(8, kF32);
  call(unimoer::k_top_k_mask, {&p, &m}, {2, 4, 2});
  expect(m.values() == Values{0, 1, 1, 0, 1, 1, 0, 0}, "top_k_mask prefers the lower index");
}

}  // namespace

int main() {
  return for_each_isa([] {
    Random random;
    for (const int dt : kDTypes) {
      for (const Size& s : kSizes) {
        test_reductions(random, s, dt);
        test_softmax(random, s, dt);
        test_l2(random, s, dt);
        for (int bits = 0; bits < 8; ++bits) test_norm(random, s, dt, bits & 1, bits & 2, bits & 4);
      }
      for (const int cols : {1, 8, 37, 384}) {
        test_pooling(random, cols, dt);
        for (const int dty : kDTypes) test_indexing(random, cols, dt, dty);
      }
      for (const int dim : {2, 32, 40, 128}) test_rope(random, 3, dim, dt);
    }
    test_long_sums(random);
    for (const int cols : {1, 2, 37, 3001}) test_cross_entropy(random, 7, cols);
    for (const double lambda : {-1.5, 0.0, 0.5, 0.95})
      for (const int n : {1, 3, 8, 64}) test_routing(random, 50, n, lambda);
    test_top_k();
  });
}
