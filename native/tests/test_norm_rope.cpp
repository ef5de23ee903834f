// RMSNorm of heads and rotary embedding in one kernel, against double-precision loops.
#include "check.h"

using namespace check;
using unimoer::kBF16;
using unimoer::kF32;
using unimoer::Status;

namespace {

Values narrowed(const std::vector<double>& v) { return Values(v.begin(), v.end()); }

void test_norm_rope(Random& random, int tokens, int heads, int dim, int dt) {
  const int half = dim / 2, rows = tokens * heads;
  const double eps = 1e-6;
  const Values x = random_values(random, rows * dim, dt, 3), dy = random_values(random, rows * dim, dt);
  const Values w = random_values(random, dim, kF32);
  Values freq(half);
  std::vector<std::int32_t> pos(tokens);
  for (int i = 0; i < half; ++i) freq[i] = static_cast<float>(std::pow(10000.0, -double(i) / half));
  for (int t = 0; t < tokens; ++t) pos[t] = t * 97 % 1009;
  std::vector<double> y(x.size()), rstd(rows), dx(x.size()), dw(dim), g(dim);
  for (int r = 0; r < rows; ++r) {
    const int at = r * dim;
    double squares = 0, dot = 0;
    for (int i = 0; i < dim; ++i) squares += double(x[at + i]) * x[at + i];
    rstd[r] = 1 / std::sqrt(squares / dim + eps);
    for (int i = 0; i < half; ++i) {
      const double angle = static_cast<float>(pos[r / heads]) * freq[i], c = std::cos(angle), s = std::sin(angle);
      const double u = x[at + i] * rstd[r] * w[i], v = x[at + half + i] * rstd[r] * w[half + i];
      y[at + i] = u * c - v * s;
      y[at + half + i] = v * c + u * s;
      g[i] = dy[at + i] * c + dy[at + half + i] * s;
      g[half + i] = dy[at + half + i] * c - dy[at + i] * s;
    }
    for (int i = 0; i < dim; ++i) {
      const double n = x[at + i] * rstd[r];
      dw[i] += g[i] * n;
      dot += g[i] * w[i] * n / dim;
    }
    for (int i = 0; i < dim; ++i) dx[at + i] = rstd[r] * (g[i] * w[i] - x[at + i] * rstd[r] * dot);
  }
  const std::string name = "norm_rope tokens " + std::to_string(tokens) + " heads " + std::to_string(heads) + " dim " +
                           std::to_string(dim) + " dt " + std::to_string(dt);
  const double one = dt == kBF16 ? 1.0 / 250 : 4e-6;
  Buffer bx = Buffer::of(x, dt), bw = Buffer::of(w, kF32), bp = Buffer::ints(pos), bf = Buffer::of(freq, kF32);
  Buffer bd = Buffer::of(dy, dt), by = Buffer::empty(x.size(), dt), br = Buffer::empty(rows, kF32);
  Buffer dx1 = by, dx2 = by, bg = Buffer::empty(dim, kF32), none = Buffer::absent();
  const double d = dt, t = tokens, h = heads;
  expect(call(unimoer::k_norm_rope, {&bx, &bw, &bp, &bf, &by, &br}, {d, t, h, double(dim), eps}) == Status::ok, name);
  expect_close(by.values(), narrowed(y), one, 1, name + " y");
  expect_close(br.values(), narrowed(rstd), 2e-6, 1, name + " rstd");
  const auto backward = [&](Buffer& out, Buffer& grad) {
    return call(unimoer::k_norm_rope_grad, {&bd, &bx, &bw, &br, &bp, &bf, &out, &grad}, {d, t, h, double(dim)});
  };
  expect(backward(dx1, bg) == Status::ok && backward(dx2, none) == Status::ok, name + " backward");
  expect_close(dx1.values(), narrowed(dx), one, 1, name + " dx");
  expect(dx1.bytes == dx2.bytes, name + ": dx does not depend on whether dw is asked for");
  expect_close(bg.values(), narrowed(dw), 1e-5, std::sqrt(double(rows)), name + " dw");
  Buffer odd = Buffer::empty(dim + 1, kF32);
  expect(call(unimoer::k_norm_rope, {&bx, &odd, &bp, &bf, &by, &br}, {d, t, h, double(dim + 1), eps}) ==
             Status::bad_argument,
         name + ": an odd head dimension is refused");
}

}  // namespace

int main() {
  return for_each_isa([] {
    Random random;
    for (const int dt : {kF32, kBF16})
      for (const int dim : {2, 8, 40, 128}) {
        test_norm_rope(random, 1, 1, dim, dt);
        test_norm_rope(random, 150, 3, dim, dt);
      }
  });
}
