// Every matrix product against a double-precision loop, on odd sizes, dtypes and transposes.
#include <algorithm>

#include "check.h"

using namespace check;
using unimoer::kBF16;
using unimoer::kF32;
using unimoer::Status;

namespace {

struct Size {
  std::int64_t m, n, k;
};
const Size kSizes[] = {{1, 1, 1},   {1, 33, 7},   {14, 32, 16},  {15, 31, 17},  {29, 16, 64},  {3, 8, 384},
                       {64, 64, 1}, {57, 96, 33}, {130, 48, 70}, {96, 40, 130}, {200, 384, 5}, {17, 100, 513},
                       {8, 300, 700}, {96, 33, 1030}, {800, 40, 33}};

double error_of(int dtype) { return dtype == kBF16 ? 1.0 / 128 : 2e-6; }

void test_gemm(Random& random, Size s, int dta, int dtb, int dtc, bool ta, bool tb, float alpha, float beta,
               bool with_bias) {
  const Values a = random_values(random, s.m * s.k, dta), b = random_values(random, s.k * s.n, dtb);
  const Values c = random_values(random, s.m * s.n, dtc), bias = random_values(random, s.n, kF32);
  Values want(s.m * s.n);
  for (std::int64_t i = 0; i < s.m; ++i)
    for (std::int64_t j = 0; j < s.n; ++j) {
      double sum = 0;
      for (std::int64_t l = 0; l < s.k; ++l)
        sum += static_cast<double>(ta ? a[l * s.m + i] : a[i * s.k + l]) * (tb ? b[j * s.k + l] : b[l * s.n + j]);
      want[i * s.n + j] =
          static_cast<float>(alpha * sum + beta * c[i * s.n + j] + (with_bias ? bias[j] : 0.0f));
    }
  Buffer ba = Buffer::of(a, dta), bb = Buffer::of(b, dtb), bias_buffer = with_bias ? Buffer::of(bias, kF32) : Buffer::absent();
  Buffer bc = beta == 0 ? Buffer::empty(c.size(), dtc) : Buffer::of(c, dtc);
  const Status status = call(unimoer::k_gemm, {&ba, &bb, &bc, &bias_buffer},
                             {double(dta), double(dtb), double(dtc), double(s.m), double(s.n), double(s.k), double(ta),
                              double(tb), alpha, beta});
  char name[160];
  std::snprintf(name, sizeof name, "gemm m=%ld n=%ld k=%ld dt=%d%d%d t=%d%d alpha=%g beta=%g bias=%d", s.m, s.n, s.k,
                dta, dtb, dtc, ta, tb, alpha, beta, with_bias);
  expect(status == Status::ok, std::string(name) + ": " + unimoer::last_error());
  expect_close(bc.values(), want, error_of(dtc), std::sqrt(double(s.k)), name);
}

// added: 0 nothing, 1 what y holds, 2 a residual elsewhere.
void test_linear(Random& random, Size s, int dtx, int dtp, bool trans, int added, bool with_bias) {
  const float beta = added != 0;
  const Values x = random_values(random, s.m * s.k, dtx), y = random_values(random, s.m * s.n, dtx);
  const Values w = random_values(random, s.n * s.k, dtp), bias = random_values(random, s.n, kF32);
  Values want(s.m * s.n);
  // trans: the weight is stored [k, n] and used as x w.
  for (std::int64_t i = 0; i < s.m; ++i)
    for (std::int64_t j = 0; j < s.n; ++j) {
      double sum = 0;
      for (std::int64_t l = 0; l < s.k; ++l) sum += double(x[i * s.k + l]) * (trans ? w[l * s.n + j] : w[j * s.k + l]);
      want[i * s.n + j] = static_cast<float>(sum + beta * y[i * s.n + j] + (with_bias ? bias[j] : 0.0f));
    }
  Buffer bw = Buffer::of(w, kF32), packed = Buffer::raw(unimoer::kernel_table().packed_bytes(dtp, s.n, s.k));
  Buffer bx = Buffer::of(x, dtx), by = Buffer::of(y, dtx);
  Buffer bb = with_bias ? Buffer::of(bias, kF32) : Buffer::absent();
  Status status = call(unimoer::k_pack_weight, {&bw, &packed},
                       {0, double(dtp), double(trans ? s.k : s.n), double(trans ? s.n : s.k), double(trans)});
  expect(status == Status::ok, unimoer::last_error());
  Buffer none = Buffer::absent(), elsewhere = by;
  if (added == 2) by = Buffer::empty(y.size(), dtx);
  status = call(unimoer::k_linear_packed, {&bx, &packed, &bb, added == 2 ? &elsewhere : added ? &by : &none, &by},
                {double(dtx), double(dtp), double(s.m), double(s.n), double(s.k)});
  char name[160];
  std::snprintf(name, sizeof name, "linear m=%ld n=%ld k=%ld dt=%d%d trans=%d added=%d bias=%d", s.m, s.n, s.k, dtx, dtp,
                trans, added, with_bias);
  expect(status == Status::ok, std::string(name) + ": " + unimoer::last_error());
  expect_close(by.values(), want, error_of(dtx), std::sqrt(double(s.k)), name);
}

// A row of a product has the same bits however many rows there are, which choose how the weight is brought to the tiles.
void test_rows_alone(Random& random, int dtx, int dtp, std::int64_t n, std::int64_t k) {
  const std::int64_t m = 800;
  const double dt = dtx, dp = dtp, dn = double(n), dk = double(k);
  Buffer w = Buffer::of(random_values(random, n * k, dtp), kF32), packed = Buffer::raw(unimoer::kernel_table().packed_bytes(dtp, n, k));
  call(unimoer::k_pack_weight, {&w, &packed}, {0, dp, dn, dk, 0});
  const Values x = random_values(random, m * k, dtx), residual = random_values(random, m * n, dtx);
  Buffer bias = Buffer::of(random_values(random, n, kF32), kF32);
  const auto product = [&](std::int64_t rows) {
    Buffer bx = Buffer::of(Values(x.begin(), x.begin() + rows * k), dtx), by = Buffer::empty(rows * n, dtx);
    Buffer br = Buffer::of(Values(residual.begin(), residual.begin() + rows * n), dtx);
    const Status status = call(unimoer::k_linear_packed, {&bx, &packed, &bias, &br, &by}, {dt, dp, double(rows), dn, dk});
    expect(status == Status::ok, unimoer::last_error());
    return by.values();
  };
  const Values all = product(m);
  for (std::int64_t rows : {1, 4, 5, 50, 130}) {
    const Values some = product(rows);
    char name[120];
    std::snprintf(name, sizeof name, "%ld rows alone, n=%ld k=%ld dt=%d%d", rows, n, k, dtx, dtp);
    expect(std::equal(some.begin(), some.end(), all.begin()), std::string(name) + ": other bits than among 800");
  }
}

void test_refusals() {
  Buffer a = Buffer::empty(12, kF32), b = Buffer::empty(12, kF32), c = Buffer::empty(16, kF32), none = Buffer::absent();
  const auto run = [&](double m, double n, double k, double dt) {
    return call(unimoer::k_gemm, {&a, &b, &c, &none}, {dt, 0, 0, m, n, k, 0, 0, 1, 0});
  };
  expect(run(4, 4, 3, 0) == Status::ok, "gemm accepts exact sizes");
  expect(run(5, 4, 3, 0) == Status::bad_argument, "gemm refuses short buffers");
  expect(run(1e18, 1e18, 1e18, 0) == Status::bad_argument, "gemm refuses overflowing sizes");
  expect(run(NAN, 4, 3, 0) == Status::bad_argument, "gemm refuses NaN sizes");
  expect(run(4, 4, 3, 3) == Status::unsupported, "gemm refuses f64");
}

}  // namespace

int main() {
  return for_each_isa([] {
    Random random;
    for (const Size& s : kSizes)
      for (int bits = 0; bits < 32; ++bits) {
        const int dta = bits & 1, dtb = bits >> 1 & 1, dtc = bits >> 2 & 1;
        const bool ta = bits >> 3 & 1, tb = bits >> 4 & 1;
        test_gemm(random, s, dta, dtb, dtc, ta, tb, 1, 0, false);
        test_gemm(random, s, dta, dtb, dtc, ta, tb, 1, 1, false);
        test_gemm(random, s, dta, dtb, dtc, ta, tb, 0.5f, 2, true);
        test_gemm(random, s, dta, dtb, dtc, ta, tb, 1, 0, true);
      }
    for (const Size& s : kSizes)
      for (int bits = 0; bits < 48; ++bits)
        test_linear(random, s, bits & 1, bits >> 1 & 1, bits >> 2 & 1, bits >> 4, bits >> 3 & 1);
    for (int bits = 0; bits < 4; ++bits)
      for (std::int64_t n : {64, 70}) test_rows_alone(random, bits & 1, bits >> 1, n, 1031);
    test_refusals();
  });
}
