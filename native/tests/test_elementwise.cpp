// Element-wise kernels, broadcasts, copies, dropout and AdamW against scalar double-precision code.
#include "check.h"

#include <functional>

using namespace check;
using unimoer::kBF16;
using unimoer::kF32;
using unimoer::kI32;
using unimoer::Status;

namespace {

const std::size_t kCounts[] = {0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 100, 1000};
constexpr int kDTypes[] = {kF32, kBF16};

double tolerance(int dt, double f32 = 3e-7) { return dt == kBF16 ? 1.0 / 256 + 1e-5 : f32; }

struct Function {
  int id;
  const char* name;
  std::function<double(double)> f;
  double low, high;
  double f32_tolerance = 3e-7;
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double gelu_tanh_slope(double x) {
  const double c = std::sqrt(2 / M_PI), t = std::tanh(c * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
}
double gelu_slope(double x) { return normal_cdf(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }
double silu_slope(double x) { return sigmoid(x) * (1 + x * (1 - sigmoid(x))); }

const Function kFunctions[] = {
    {unimoer::k_neg, "neg", [](double x) { return -x; }, -9, 9},
    {unimoer::k_exp, "exp", [](double x) { return std::exp(x); }, -80, 80, 4e-7},
    {unimoer::k_log, "log", [](double x) { return std::log(x); }, 1e-6, 50},
    {unimoer::k_sqrt, "sqrt", [](double x) { return std::sqrt(x); }, 0, 50},
    {unimoer::k_square, "square", [](double x) { return x * x; }, -9, 9},
    {unimoer::k_abs, "abs", [](double x) { return std::fabs(x); }, -9, 9},
    {unimoer::k_tanh, "tanh", [](double x) { return std::tanh(x); }, -6, 6},
    {unimoer::k_sigmoid, "sigmoid", sigmoid, -30, 30},
    {unimoer::k_relu, "relu", [](double x) { return x > 0 ? x : 0; }, -9, 9},
    {unimoer::k_silu, "silu", [](double x) { return x * sigmoid(x); }, -30, 30},
    {unimoer::k_softplus, "softplus", [](double x) { return std::log1p(std::exp(x)); }, -30, 30},
    {unimoer::k_gelu, "gelu", [](double x) { return x * normal_cdf(x); }, -8, 8, 8e-7},
    {unimoer::k_gelu_tanh, "gelu_tanh", gelu_tanh, -8, 8, 8e-7},
};
const Function kSlopes[] = {
    {unimoer::k_silu_grad, "silu_grad", silu_slope, -30, 30, 1e-6},
    {unimoer::k_gelu_grad, "gelu_grad", gelu_slope, -8, 8, 1e-6},
    {unimoer::k_gelu_tanh_grad, "gelu_tanh_grad", gelu_tanh_slope, -8, 8, 1e-6},
};

Values in_range(Random& random, std::size_t n, int dt, double low, double high) {
  Values v = random_values(random, n, kF32);
  for (float& x : v) {
    x = static_cast<float>(low + (high - low) * (x + 1) / 2);
    if (dt == kBF16) x = from_bf16(to_bf16(x));
  }
  return v;
}

void test_functions(Random& random, std::size_t n, int dt) {
  for (const Function& f : kFunctions) {
    const Values x = in_range(random, n, dt, f.low, f.high);
    Values want(n);
    for (std::size_t i = 0; i < n; ++i) want[i] = static_cast<float>(f.f(x[i]));
    Buffer bx = Buffer::of(x, dt), by = Buffer::empty(n, dt);
    expect(call(f.id, {&bx, &by}, {double(dt), double(n)}) == Status::ok, f.name);
    expect_close(by.values(), want, tolerance(dt, f.f32_tolerance), f.id == unimoer::k_exp ? 0 : 1, f.name);
  }
  for (const Function& f : kSlopes) {
    const Values x = in_range(random, n, dt, f.low, f.high), dy = random_values(random, n, dt);
    Values want(n);
    for (std::size_t i = 0; i < n; ++i) want[i] = static_cast<float>(dy[i] * f.f(x[i]));
    Buffer bx = Buffer::of(x, dt), bd = Buffer::of(dy, dt), by = Buffer::empty(n, dt);
    expect(call(f.id, {&bd, &bx, &by}, {double(dt), double(n)}) == Status::ok, f.name);
    expect_close(by.values(), want, tolerance(dt, f.f32_tolerance), 1, f.name);
  }
}

// The short fits of bf16 storage on every finite bf16 input: within half a step of bf16 (2^-8) and the fit's own
// error, which is stated beside it.
void test_every_bf16() {
  const struct {
    int id;
    const char* name;
    double (*f)(double);
    bool slope;
    double relative, absolute;
  } fits[] = {
      {unimoer::k_gelu, "gelu", [](double x) { return x * normal_cdf(x); }, false, 1.2e-3, 6.5e-5},
      {unimoer::k_gelu_grad, "gelu_grad", gelu_slope, true, 0, 4.6e-4},
      {unimoer::k_gelu_tanh, "gelu_tanh", gelu_tanh, false, 2e-4, 1e-6},
      {unimoer::k_gelu_tanh_grad, "gelu_tanh_grad", gelu_tanh_slope, true, 0, 2.5e-4},
      {unimoer::k_sigmoid, "sigmoid", sigmoid, false, 1e-4, 1e-37},
      {unimoer::k_silu, "silu", [](double x) { return x * sigmoid(x); }, false, 1e-4, 1e-25},
      {unimoer::k_silu_grad, "silu_grad", silu_slope, true, 0, 1.5e-4},
  };
  Values x;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float v = from_bf16(static_cast<std::uint16_t>(bits));
    // Beyond 2^40 the double-precision formulas themselves overflow into NaN.
    if (std::fabs(v) < 1e12f) x.push_back(v);
  }
  Buffer bx = Buffer::of(x, kBF16), one = Buffer::of(Values(x.size(), 1), kBF16), by = Buffer::empty(x.size(), kBF16);
  for (const auto& fit : fits) {
    if (fit.slope)
      call(fit.id, {&one, &bx, &by}, {1, double(x.size())});
    else
      call(fit.id, {&bx, &by}, {1, double(x.size())});
    const Values y = by.values();
    double worst = 0, at = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = fit.f(x[i]), allowed = std::fabs(want) * (1.0 / 256 + fit.relative) + fit.absolute;
      const double share = std::fabs(y[i] - want) / allowed;
      if (!(share <= worst)) worst = share, at = x[i];
    }
    char label[96];
    std::snprintf(label, sizeof label, "%s of every bf16 value: %.3f of the allowed error at %g", fit.name, worst, at);
    expect(worst <= 1, label);
  }
}

void test_special_values() {
  const float inf = INFINITY;
  const auto run = [&](int id, const Values& x) {
    Buffer bx = Buffer::of(x, kF32), by = Buffer::empty(x.size(), kF32);
    call(id, {&bx, &by}, {0, double(x.size())});
    return by.values();
  };
  const Values e = run(unimoer::k_exp, {inf, -inf, NAN, 89, -120, 0});
  expect(e[0] == inf && e[1] == 0 && std::isnan(e[2]) && e[3] == inf && e[4] == 0 && e[5] == 1, "exp at the edges");
  const Values l = run(unimoer::k_log, {0, -1, inf, NAN, 1e-40f, 1});
  expect(l[0] == -inf && std::isnan(l[1]) && l[2] == inf && std::isnan(l[3]) && std::fabs(l[4] + 92.1034f) < 1e-4f &&
             l[5] == 0,
         "log at the edges");
  for (const int id : {unimoer::k_tanh, unimoer::k_sigmoid, unimoer::k_gelu, unimoer::k_gelu_tanh}) {
    const Values g = run(id, {1e4f, -1e4f, NAN});
    const bool linear = id == unimoer::k_gelu || id == unimoer::k_gelu_tanh;
    expect(std::fabs(g[0] - (linear ? 1e4f : 1)) <= 1e-3f && std::isnan(g[2]), "saturation");
    expect(std::fabs(g[1] - (id == unimoer::k_tanh ? -1 : 0)) < 1e-30f, "left tail");
  }
}

void test_binary(Random& random, int dt, int dtb) {
  const int ids[] = {unimoer::k_add, unimoer::k_sub, unimoer::k_mul, unimoer::k_div};
  for (const int mode : {0, 1, 2, 3})
    for (const auto& [rows, cols] : {std::pair<int, int>{1, 1}, {3, 17}, {5, 64}, {0, 4}, {33, 7}})
      for (const int id : ids) {
        const std::size_t nb = mode == 0 ? rows * cols : mode == 1 ? 1 : mode == 2 ? cols : rows;
        const Values x = random_values(random, rows * cols, dt);
        Values b = random_values(random, nb, dtb);
        for (float& v : b) v = v >= 0 ? v + 0.5f : v - 0.5f;
        if (dtb == kBF16)
          for (float& v : b) v = from_bf16(to_bf16(v));
        Values want(x.size());
        for (int r = 0; r < rows; ++r)
          for (int c = 0; c < cols; ++c) {
            const double u = x[r * cols + c], w = b[mode == 0 ? r * cols + c : mode == 1 ? 0 : mode == 2 ? c : r];
            want[r * cols + c] = static_cast<float>(id == ids[0]   ? u + w
                                                    : id == ids[1] ? u - w
                                                    : id == ids[2] ? u * w
                                                                   : u / w);
          }
        Buffer bx = Buffer::of(x, dt), bb = Buffer::of(b, dtb), by = Buffer::empty(x.size(), dt);
        expect(call(id, {&bx, &bb, &by}, {double(dt), double(mode), double(rows), double(cols), double(dtb)}) ==
                   Status::ok,
               "binary status");
        expect_close(by.values(), want, tolerance(dt), 1, "binary " + std::to_string(id) + " mode " + std::to_string(mode));
      }
}

void test_linear_passes(Random& random, std::size_t n, int dt) {
  const Values x = random_values(random, n, dt), y = random_values(random, n, dt);
  Values affine(n), blend(n), scaled(n);
  for (std::size_t i = 0; i < n; ++i) {
    affine[i] = static_cast<float>(1.5 * x[i] - 0.25);
    blend[i] = static_cast<float>(2.0 * x[i] - 0.5 * y[i]);
    scaled[i] = 2 * x[i];
  }
  Buffer bx = Buffer::of(x, dt), out = Buffer::empty(n, dt), by = Buffer::of(y, dt), bn = Buffer::empty(n, dt);
  call(unimoer::k_affine, {&bx, &out}, {double(dt), double(n), 1.5, -0.25});
  expect_close(out.values(), affine, tolerance(dt), 1, "affine");
  call(unimoer::k_axpby, {&bx, &by}, {double(dt), double(dt), double(n), 2, -0.5});
  expect_close(by.values(), blend, tolerance(dt), 1, "axpby");
  call(unimoer::k_axpby, {&bx, &bn}, {double(dt), double(dt), double(n), 2, 0});
  expect_close(bn.values(), scaled, tolerance(dt), 1, "axpby ignores y when b is 0");
}

void test_casts(Random& random) {
  const Values x = random_values(random, 37, kF32, 100);
  std::vector<std::int32_t> truncated(37);
  for (int i = 0; i < 37; ++i) truncated[i] = static_cast<int>(x[i]);
  Values rounded = x;
  for (float& v : rounded) v = from_bf16(to_bf16(v));
  Buffer bx = Buffer::of(x, kF32), narrow = Buffer::empty(37, kBF16), wide = Buffer::empty(37, kF32);
  Buffer whole = Buffer::ints(std::vector<std::int32_t>(37)), back = Buffer::empty(37, kF32);
  call(unimoer::k_cast, {&bx, &narrow}, {kF32, kBF16, 37});
  expect(narrow.values() == rounded, "cast rounds to nearest even");
  call(unimoer::k_cast, {&narrow, &wide}, {kBF16, kF32, 37});
  expect(wide.values() == rounded, "cast widens exactly");
  call(unimoer::k_cast, {&bx, &whole}, {kF32, kI32, 37});
  expect(whole.bytes == Buffer::ints(truncated).bytes, "cast to i32 truncates");
  call(unimoer::k_cast, {&whole, &back}, {kI32, kF32, 37});
  expect(back.values() == Values(truncated.begin(), truncated.end()), "cast from i32");
  expect(call(unimoer::k_cast, {&bx, &back}, {kF32, 3, 37}) == Status::unsupported, "cast refuses f64");
  expect(call(unimoer::k_cast, {&bx, &back}, {kF32, kF32, 38}) == Status::bad_argument, "cast refuses short buffers");
}

void test_shapes(Random& random, int dt) {
  for (const auto& [rows, cols] : {std::pair<int, int>{1, 1}, {3, 5}, {33, 70}, {64, 96}}) {
    const Values x = random_values(random, rows * cols, dt);
    Values want(x.size());
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < cols; ++c) want[c * rows + r] = x[r * cols + c];
    Buffer bx = Buffer::of(x, dt), by = Buffer::empty(x.size(), dt);
    call(unimoer::k_transpose, {&bx, &by}, {double(dt), double(rows), double(cols)});
    expect(by.values() == want, "transpose");
    Buffer part = Buffer::of(Values(rows * (cols + 3), 7), dt);
    call(unimoer::k_copy_2d, {&bx, &part},
         {double(dt), double(rows), double(cols), double(cols), 0, double(cols + 3), 2});
    const Values got = part.values();
    bool same = true;
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < cols + 3; ++c)
        same = same && got[r * (cols + 3) + c] == (c < 2 || c >= cols + 2 ? 7 : x[r * cols + c - 2]);
    expect(same, "copy_2d");
  }
}

void philox(std::uint64_t block, std::uint32_t k0, std::uint32_t k1, std::uint32_t out[4]) {
  std::uint32_t c[4] = {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0};
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * c[0], b = std::uint64_t{0xCD9E8D57} * c[2];
    const std::uint32_t next[4] = {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(b),
                                   static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(a)};
    std::memcpy(c, next, sizeof c);
  }
  std::memcpy(out, c, sizeof c);
}

void test_dropout(std::size_t n, int dt) {
  const double p = 0.3;
  const std::uint64_t offset = 0xfffffffeull;  // the counter carries into its high word
  Buffer x = Buffer::of(Values(n, 1), dt), y = Buffer::empty(n, dt);
  Values want(n);
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t words[4];
    philox(offset + i / 4, 123, 456, words);
    want[i] = (words[i % 4] >> 8) * 0x1p-24 >= p ? static_cast<float>(1 / (1 - p)) : 0;
  }
  call(unimoer::k_dropout, {&x, &y}, {double(dt), double(n), p, 123, 456, double(offset)});
  expect_close(y.values(), want, tolerance(dt), 0, "dropout");
  expect(call(unimoer::k_dropout, {&x, &y}, {double(dt), double(n), 1, 0, 0, 0}) == Status::bad_argument,
         "dropout refuses p = 1");
}

// Two tensors of n and of 5 elements in one launch.
void test_adamw(Random& random, std::size_t n) {
  const double lr = 1e-2, b1 = 0.9, b2 = 0.999, eps = 1e-8, decay = 0.1, scale = 0.5;
  const std::size_t counts[2] = {n, 5};
  Values g[2];
  std::vector<double> wp[2], wm[2], wv[2];
  Buffer bp[2], bg[2], bm[2], bv[2];
  for (int t = 0; t < 2; ++t) {
    const Values p = random_values(random, counts[t], kF32);
    g[t] = random_values(random, counts[t], kF32);
    wp[t].assign(p.begin(), p.end());
    wm[t].assign(counts[t], 0), wv[t].assign(counts[t], 0);
    bp[t] = Buffer::of(p, kF32), bg[t] = Buffer::of(g[t], kF32), bm[t] = bv[t] = Buffer::of(Values(counts[t]), kF32);
  }
  for (int step = 1; step <= 3; ++step) {
    for (int t = 0; t < 2; ++t) {
      for (std::size_t i = 0; i < counts[t]; ++i) {
        const double grad = g[t][i] * scale;
        wp[t][i] *= 1 - lr * decay;
        wm[t][i] = b1 * wm[t][i] + (1 - b1) * grad;
        wv[t][i] = b2 * wv[t][i] + (1 - b2) * grad * grad;
        wp[t][i] -= lr / (1 - std::pow(b1, step)) * wm[t][i] / (std::sqrt(wv[t][i]) / std::sqrt(1 - std::pow(b2, step)) + eps);
      }
    }
    // The second tensor stands in the last place.
    std::vector<Buffer*> buffers = check::padded({&bp[0], &bg[0], &bm[0], &bv[0]}, 32);
    buffers[28] = &bp[1], buffers[29] = &bg[1], buffers[30] = &bm[1], buffers[31] = &bv[1];
    call(unimoer::k_adamw, buffers,
         {lr, b1, b2, eps, decay, double(step), scale, double(n), 0, 0, 0, 0, 0, 0, double(counts[1])});
  }
  for (int t = 0; t < 2; ++t) expect_close(bp[t].values(), Values(wp[t].begin(), wp[t].end()), 1e-6, 1, "adamw");
}

// Three parts, one of them absent, into rows of 9 columns and back.
void test_concat(Random& random, int dt) {
  const Values a = random_values(random, 4 * 2, dt), b = random_values(random, 4 * 3, dt);
  Buffer ba = Buffer::of(a, dt), bb = Buffer::of(b, dt), whole = Buffer::of(Values(4 * 9, 7.0f), dt);
  const auto launch = [&](Buffer& x, Buffer& y, double split) {
    std::vector<Buffer*> buffers = check::padded({&whole, &x}, 25);
    buffers[3] = &y;
    return call(unimoer::k_concat, buffers, {double(dt), 4, 9, 1, split, 2, 1, 3, 0, 0, 0, 0, 0, 0, 0,
                                             0,          0, 0, 0, 0,     0, 0, 0, 0, 0, 0, 0, 0, 0});
  };
  check::expect(launch(ba, bb, 0) == unimoer::Status::ok, "concat");
  Values want(4 * 9, 7.0f);
  for (std::size_t r = 0; r < 4; ++r) {
    for (std::size_t c = 0; c < 2; ++c) want[r * 9 + 1 + c] = a[r * 2 + c];
    for (std::size_t c = 0; c < 3; ++c) want[r * 9 + 4 + c] = b[r * 3 + c];
  }
  expect_close(whole.values(), want, 0, 0, "concat");
  Buffer ca = Buffer::empty(a.size(), dt), cb = Buffer::empty(b.size(), dt);
  check::expect(launch(ca, cb, 1) == unimoer::Status::ok, "split");
  expect_close(ca.values(), a, 0, 0, "split");
  expect_close(cb.values(), b, 0, 0, "split");
}

}  // namespace

int main() {
  return for_each_isa([] {
    Random random;
    for (const int dt : kDTypes) {
      for (const std::size_t n : kCounts) {
        test_functions(random, n, dt);
        test_linear_passes(random, n, dt);
        test_dropout(n, dt);
      }
      test_shapes(random, dt);
      test_concat(random, dt);
      for (const int dtb : kDTypes) test_binary(random, dt, dtb);
    }
    test_functions(random, 70000, kF32);
    test_special_values();
    test_every_bf16();
    test_casts(random);
    test_adamw(random, 133);
  });
}
