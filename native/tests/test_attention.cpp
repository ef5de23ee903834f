// Attention and its gradient against double-precision loops over packed sequences of odd lengths.
#include "check.h"

using namespace check;
using unimoer::kBF16;
using unimoer::kF32;
using unimoer::Status;

namespace {

struct Shape {
  std::vector<int> lengths;
  int heads, kv_heads, dim;
  bool causal;
};

const std::vector<Shape> kShapes = {
    {{1}, 1, 1, 8, false},
    {{1}, 2, 1, 32, true},
    {{5, 17, 0, 3}, 2, 2, 32, false},
    {{33, 64, 65}, 4, 2, 40, true},
    {{130, 7, 257}, 2, 1, 64, false},
    {{200, 129}, 4, 1, 128, true},
    {{70, 31}, 3, 3, 24, true},
    {{128, 128}, 2, 2, 32, false},
    {{19, 40}, 2, 1, 7, true},
    {{300}, 1, 1, 96, true},
    {{700, 3, 90}, 3, 1, 16, true},
    {{1030}, 1, 1, 32, false},
};

struct Oracle {
  std::vector<double> out, lse, dq, dk, dv;
};

// Softmax attention and its gradient, written out.
Oracle oracle(const Shape& s, const std::vector<int>& cu, double scale, const Values& q, const Values& k,
              const Values& v, const Values& grad) {
  const int tokens = cu.back(), group = s.heads / s.kv_heads;
  Oracle r;
  r.out.assign(q.size(), 0);
  r.dq.assign(q.size(), 0);
  r.dk.assign(k.size(), 0);
  r.dv.assign(v.size(), 0);
  r.lse.assign(static_cast<std::size_t>(s.heads) * tokens, 0);
  for (std::size_t b = 0; b + 1 < cu.size(); ++b)
    for (int h = 0; h < s.heads; ++h)
      for (int i = cu[b]; i < cu[b + 1]; ++i) {
        const int end = s.causal ? i + 1 : cu[b + 1];
        const auto qi = [&](int d) { return (static_cast<std::size_t>(i) * s.heads + h) * s.dim + d; };
        const auto kj = [&](int j, int d) {
          return (static_cast<std::size_t>(j) * s.kv_heads + h / group) * s.dim + d;
        };
        std::vector<double> p(end - cu[b]);
        double max = -1e300, sum = 0;
        for (int j = cu[b]; j < end; ++j) {
          double dot = 0;
          for (int d = 0; d < s.dim; ++d) dot += double(q[qi(d)]) * k[kj(j, d)];
          p[j - cu[b]] = dot * scale;
          max = std::max(max, dot * scale);
        }
        for (double& x : p) sum += x = std::exp(x - max);
        for (double& x : p) x /= sum;
        r.lse[static_cast<std::size_t>(h) * tokens + i] = max + std::log(sum);
        double through = 0;
        std::vector<double> dp(p.size());
        for (int j = cu[b]; j < end; ++j)
          for (int d = 0; d < s.dim; ++d) {
            r.out[qi(d)] += p[j - cu[b]] * v[kj(j, d)];
            dp[j - cu[b]] += double(grad[qi(d)]) * v[kj(j, d)];
            r.dv[kj(j, d)] += p[j - cu[b]] * grad[qi(d)];
          }
        for (std::size_t j = 0; j < p.size(); ++j) through += p[j] * dp[j];
        for (int j = cu[b]; j < end; ++j) {
          const double ds = p[j - cu[b]] * (dp[j - cu[b]] - through) * scale;
          for (int d = 0; d < s.dim; ++d) {
            r.dq[qi(d)] += ds * k[kj(j, d)];
            r.dk[kj(j, d)] += ds * q[qi(d)];
          }
        }
      }
  return r;
}

Values narrowed(const std::vector<double>& x) { return Values(x.begin(), x.end()); }

// Scores of one kind in every row: what an online softmax could get wrong.
enum class Scores { random, equal, huge, low, late, rising, falling };
constexpr Scores kExtremes[] = {Scores::equal, Scores::huge,   Scores::low,
                                Scores::late,  Scores::rising, Scores::falling};

// Keys whose product with a query of ones in the first place is the score.
void set_scores(const Shape& s, Scores kind, Values& q, Values& k) {
  const auto wanted = [&](std::size_t j) {
    const double small = double(j % 5) / 4;
    switch (kind) {
      case Scores::equal: return 2.0;
      case Scores::huge: return 8192.0 * (j % 3);
      case Scores::low: return -8192.0 - 64.0 * (j % 2);
      case Scores::late: return j == 97 ? 4096.0 : small;
      case Scores::rising: return 24.0 * j;
      default: return -24.0 * j;
    }
  };
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = i % s.dim == 0 ? 1.0f : 0.0f;
  for (std::size_t i = 0; i < k.size(); ++i) {
    k[i] = i % s.dim == 0 ? static_cast<float>(wanted(i / s.dim / s.kv_heads)) : 0.0f;
  }
}

void test_shape(Random& random, const Shape& s, int dt, Scores kind = Scores::random) {
  std::vector<int> cu{0};
  for (const int n : s.lengths) cu.push_back(cu.back() + n);
  const std::size_t tokens = cu.back(), q_size = tokens * s.heads * s.dim, kv_size = tokens * s.kv_heads * s.dim;
  const double scale = kind == Scores::random ? 1.0 / std::sqrt(double(s.dim)) : 1.0;
  Values q = random_values(random, q_size, dt, 3), k = random_values(random, kv_size, dt, 3);
  if (kind != Scores::random) {
    set_scores(s, kind, q, k);
    k = Buffer::of(k, dt).values();  // as stored
  }
  const Values v = random_values(random, kv_size, dt), grad = random_values(random, q_size, dt);
  const Oracle want = oracle(s, cu, scale, q, k, v, grad);
  Buffer bq = Buffer::of(q, dt), bk = Buffer::of(k, dt), bv = Buffer::of(v, dt), bg = Buffer::of(grad, dt);
  Buffer bcu = Buffer::ints(cu), bo = Buffer::empty(q_size, dt), bl = Buffer::empty(tokens * s.heads, kF32);
  const std::initializer_list<double> args = {double(dt),     double(tokens), double(s.lengths.size()),
                                              double(s.heads), double(s.kv_heads), double(s.dim),
                                              double(s.causal), scale};
  char name[120];
  std::snprintf(name, sizeof name, "attention dt=%d heads=%d/%d dim=%d causal=%d first=%d scores=%d", dt, s.heads,
                s.kv_heads, s.dim, s.causal, s.lengths[0], static_cast<int>(kind));
  expect(call(unimoer::k_attention, {&bq, &bk, &bv, &bcu, &bo, &bl}, args) == Status::ok,
         std::string(name) + ": " + unimoer::last_error());
  const double tolerance = dt == kBF16 ? 0.01 : 3e-6;
  expect_close(bo.values(), narrowed(want.out), tolerance, 1, std::string(name) + " out");
  expect_close(bl.values(), narrowed(want.lse), dt == kBF16 ? 1e-5 : 1e-6, 1, std::string(name) + " lse");
  // The float that holds a large lse is too coarse for a gradient.
  if (kind != Scores::random && kind != Scores::equal) return;
  // The gradient starts from the exact output, so that its own error is what is measured.
  Buffer exact = Buffer::of(narrowed(want.out), dt);
  Buffer dq = Buffer::empty(q_size, dt), dk = Buffer::empty(kv_size, dt), dv = Buffer::empty(kv_size, dt);
  expect(call(unimoer::k_attention_grad, {&bg, &bq, &bk, &bv, &exact, &bl, &bcu, &dq, &dk, &dv}, args) == Status::ok,
         std::string(name) + " grad: " + unimoer::last_error());
  const double rough = dt == kBF16 ? 0.02 : 1e-5;
  expect_close(dq.values(), narrowed(want.dq), rough, 1, std::string(name) + " dq");
  expect_close(dk.values(), narrowed(want.dk), rough, 1, std::string(name) + " dk");
  expect_close(dv.values(), narrowed(want.dv), rough, 1, std::string(name) + " dv");

  // The same bits whatever the number of threads.
  for (const int threads : {1, 3}) {
    unimoer::set_pool_threads(threads);
    Buffer o2 = Buffer::empty(q_size, dt), l2 = bl, q2 = dq, k2 = dk, v2 = dv;
    call(unimoer::k_attention, {&bq, &bk, &bv, &bcu, &o2, &l2}, args);
    call(unimoer::k_attention_grad, {&bg, &bq, &bk, &bv, &exact, &bl, &bcu, &q2, &k2, &v2}, args);
    expect(o2.bytes == bo.bytes && l2.bytes == bl.bytes && q2.bytes == dq.bytes && k2.bytes == dk.bytes &&
               v2.bytes == dv.bytes,
           std::string(name) + " depends on the thread count");
  }
  unimoer::set_pool_threads(2);
}

void test_refusals() {
  Buffer x = Buffer::of(Values(64, 0.5f), kF32), lse = Buffer::empty(8, kF32), o = Buffer::empty(64, kF32);
  const auto run = [&](std::vector<int> offsets, double heads, double kv, double dim, double tokens) {
    Buffer cu = Buffer::ints(offsets);
    return call(unimoer::k_attention, {&x, &x, &x, &cu, &o, &lse},
                {0, tokens, double(offsets.size()) - 1, heads, kv, dim, 0, 1});
  };
  expect(run({0, 3, 8}, 1, 1, 8, 8) == Status::ok, "attention accepts exact sizes");
  expect(run({0, 9, 8}, 1, 1, 8, 8) == Status::bad_argument, "attention refuses falling offsets");
  expect(run({0, 3, 7}, 1, 1, 8, 8) == Status::bad_argument, "attention refuses offsets that end early");
  expect(run({1, 3, 8}, 1, 1, 8, 8) == Status::bad_argument, "attention refuses offsets that start late");
  expect(run({0, 8}, 2, 1, 8, 8) == Status::bad_argument, "attention refuses short buffers");
  expect(run({0, 8}, 3, 2, 2, 8) == Status::bad_argument, "attention refuses heads that do not group");
  expect(run({0, 8}, 1, 1, 512, 8) == Status::unsupported, "attention refuses huge head dimensions");
}

}  // namespace

int main() {
  return for_each_isa([] {
    Random random;
    for (const Shape& s : kShapes)
      for (const int dt : {kF32, kBF16}) test_shape(random, s, dt);
    for (const Scores kind : kExtremes)
      for (const Shape& s : {Shape{{150}, 1, 1, 32, false}, Shape{{130}, 2, 1, 64, true}})
        for (const int dt : {kF32, kBF16}) test_shape(random, s, dt, kind);
    test_refusals();
  });
}
