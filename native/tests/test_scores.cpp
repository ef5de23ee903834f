// Losses over scores that are never stored, against double-precision loops that store them.
#include "check.h"

using namespace check;
using unimoer::kBF16;
using unimoer::kF32;
using unimoer::Status;

namespace {

struct Expected {
  Values loss, lse, dx, dc;
};

// Softmax cross entropy of scale * x cT + mask, and the gradients of x and c.
Expected expected(const Values& x, const Values& c, const Values& mask, const std::vector<std::int32_t>& target,
                  const Values& dloss, std::int64_t k, double scale) {
  const std::int64_t n = static_cast<std::int64_t>(target.size()), m = static_cast<std::int64_t>(c.size()) / k;
  std::vector<double> dx(x.size()), dc(c.size()), score(m);
  Expected e{Values(n), Values(n), Values(x.size()), Values(c.size())};
  for (std::int64_t i = 0; i < n; ++i) {
    double max = -1e300, sum = 0;
    for (std::int64_t j = 0; j < m; ++j) {
      double dot = 0;
      for (std::int64_t l = 0; l < k; ++l) dot += double(x[i * k + l]) * c[j * k + l];
      score[j] = scale * dot + (mask.empty() ? 0.0f : mask[i * m + j]);
      max = std::max(max, score[j]);
    }
    for (std::int64_t j = 0; j < m; ++j) sum += std::exp(score[j] - max);
    const double lse = max + std::log(sum);
    e.lse[i] = static_cast<float>(lse);
    if (target[i] < 0) continue;
    e.loss[i] = static_cast<float>(lse - score[target[i]]);
    for (std::int64_t j = 0; j < m; ++j) {
      const double g = scale * dloss[i] * (std::exp(score[j] - lse) - (j == target[i]));
      for (std::int64_t l = 0; l < k; ++l) dx[i * k + l] += g * c[j * k + l], dc[j * k + l] += g * x[i * k + l];
    }
  }
  for (std::size_t i = 0; i < dx.size(); ++i) e.dx[i] = static_cast<float>(dx[i]);
  for (std::size_t i = 0; i < dc.size(); ++i) e.dc[i] = static_cast<float>(dc[i]);
  return e;
}

std::vector<std::int32_t> targets_of(Random& random, std::int64_t n, std::int64_t m) {
  std::vector<std::int32_t> target(n);
  for (std::int64_t i = 0; i < n; ++i)
    target[i] = i % 5 == 3 ? -1 : i % 5 == 1 ? static_cast<std::int32_t>(m - 1) : static_cast<std::int32_t>(random.below(m));
  return target;
}

std::string named(const char* what, std::int64_t n, std::int64_t m, std::int64_t k, int a, int b) {
  char text[96];
  std::snprintf(text, sizeof text, "%s n=%ld m=%ld k=%ld dt=%d%d", what, long(n), long(m), long(k), a, b);
  return text;
}

void test_vocabulary(Random& random, std::int64_t n, std::int64_t m, std::int64_t k, int dtx, int dtp) {
  const Values x = random_values(random, n * k, dtx, 1.5f), w = random_values(random, m * k, dtp);
  const Values dloss = random_values(random, n, kF32);
  const std::vector<std::int32_t> target = targets_of(random, n, m);
  const Expected e = expected(x, w, {}, target, dloss, k, 1);
  Buffer bx = Buffer::of(x, dtx), bw = Buffer::of(w, dtp), bt = Buffer::ints(target), bd = Buffer::of(dloss, kF32);
  Buffer forward = Buffer::raw(unimoer::kernel_table().packed_bytes(dtp, m, k)), reverse = forward;
  for (int trans = 0; trans < 2; ++trans)
    call(unimoer::k_pack_weight, {&bw, trans ? &reverse : &forward},
         {double(dtp), double(dtp), double(m), double(k), double(trans)});
  Buffer loss = Buffer::empty(n, kF32), lse = loss, dx = Buffer::empty(n * k, dtx);
  const std::string name = named("vocabulary", n, m, k, dtx, dtp);
  const auto run = [&](Buffer& t) {
    return call(unimoer::k_vocabulary_cross_entropy, {&bx, &forward, &t, &loss, &lse},
                {double(dtx), double(dtp), double(n), double(m), double(k)});
  };
  expect(run(bt) == Status::ok, name + ": " + unimoer::last_error());
  // The products are exact in either dtype, sums are f32.
  expect_close(lse.values(), e.lse, 4e-6, 1, name + " lse");
  expect_close(loss.values(), e.loss, 4e-6, std::sqrt(double(k)), name + " loss");
  expect(call(unimoer::k_vocabulary_cross_entropy_grad, {&bd, &bx, &forward, &reverse, &bt, &lse, &dx},
              {double(dtx), double(dtp), double(n), double(m), double(k)}) == Status::ok,
         name + ": " + unimoer::last_error());
  // In bf16 the weights of the sum are rounded, and the result.
  expect_close(dx.values(), e.dx, dtx == kBF16 ? 8e-3 : 1e-5, 1, name + " dx");
  Buffer wrong = Buffer::ints(std::vector<std::int32_t>(n, static_cast<std::int32_t>(m)));
  expect(run(wrong) == Status::bad_argument, name + ": a target outside the vocabulary is refused");
}

void test_contrastive(Random& random, std::int64_t n, std::int64_t m, std::int64_t k, int dt, double scale,
                      bool masked) {
  const Values q = random_values(random, n * k, dt), p = random_values(random, m * k, dt);
  const Values dloss = random_values(random, n, kF32);
  const std::vector<std::int32_t> target = targets_of(random, n, m);
  Values mask;
  if (masked) {
    mask.resize(n * m);
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < m; ++j) mask[i * m + j] = (i + j) % 3 == 0 && j != target[i] ? -1e30f : 0.0f;
  }
  const Expected e = expected(q, p, mask, target, dloss, k, scale);
  Buffer bq = Buffer::of(q, dt), bp = Buffer::of(p, dt), bt = Buffer::ints(target), bd = Buffer::of(dloss, kF32);
  Buffer bm = masked ? Buffer::of(mask, kF32) : Buffer::absent(), none = Buffer::absent();
  Buffer loss = Buffer::empty(n, kF32), lse = loss, dq = Buffer::empty(n * k, dt), dp = Buffer::empty(m * k, dt);
  const std::string name = named(masked ? "masked contrastive" : "contrastive", n, m, k, dt, dt);
  expect(call(unimoer::k_contrastive, {&bq, &bp, &bt, &bm, &loss, &lse},
              {double(dt), double(n), double(m), double(k), scale}) == Status::ok,
         name + ": " + unimoer::last_error());
  expect_close(loss.values(), e.loss, 4e-6, scale * std::sqrt(double(k)), name + " loss");
  const auto backward = [&](Buffer& first, Buffer& second) {
    return call(unimoer::k_contrastive_grad, {&bd, &bq, &bp, &bt, &bm, &lse, &first, &second},
                {double(dt), double(n), double(m), double(k), scale});
  };
  expect(backward(dq, none) == Status::ok && backward(none, dp) == Status::ok, name + ": " + unimoer::last_error());
  const double error = dt == kBF16 ? 8e-3 : 1e-5;
  expect_close(dq.values(), e.dx, error, scale, name + " dq");
  // Here the roundings of n weights add up.
  expect_close(dp.values(), e.dc, error, scale * std::sqrt(double(n)), name + " dp");
}

}  // namespace

int main() {
  return for_each_isa([] {
    Random random;
    const std::int64_t sizes[][3] = {{1, 1, 1}, {5, 37, 8}, {15, 513, 33}, {40, 1030, 20}, {200, 700, 48}, {3, 2600, 17}};
    for (const auto& s : sizes)
      for (int bits = 0; bits < 4; ++bits) {
        test_vocabulary(random, s[0], s[1], s[2], bits & 1, bits >> 1);
        test_contrastive(random, s[0], s[1], s[2], bits & 1, 1, bits >> 1);
        test_contrastive(random, s[1], s[0], s[2], bits & 1, 3, bits >> 1);
      }
  });
}
