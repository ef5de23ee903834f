// Quantised weights: the rounding, both directions of the product against double-precision loops on the
// dequantised weight, and integer products bit by bit, also between instruction sets and thread counts.
#include "check.h"

#include <map>

using namespace check;
using unimoer::kBF16;
using unimoer::kF32;
using unimoer::Status;

namespace {

struct Size {
  std::int64_t m, n, k, group;
};
const Size kSizes[] = {{1, 1, 1, 16},     {2, 33, 7, 32},   {3, 64, 48, 16},   {4, 96, 130, 48}, {5, 31, 64, 32},
                       {15, 100, 65, 64}, {29, 17, 129, 32}, {60, 200, 96, 96}, {8, 40, 300, 128}, {131, 70, 33, 32}};

struct Weight {
  int bits;
  Size s;
  Buffer q;
  Values w;  // dequantised
};

double d(std::int64_t v) { return static_cast<double>(v); }

std::string label(const Weight& w, int dtx, const char* what) {
  char text[160];
  std::snprintf(text, sizeof text, "%s int%d m=%ld n=%ld k=%ld group=%ld dt=%d", what, w.bits, w.s.m, w.s.n, w.s.k,
                w.s.group, dtx);
  return text;
}

void check_bytes(const Weight& q, const Values& w, int dtw) {
  for (std::int64_t i = 0; i < q.s.n; ++i) {
    float most = 0;
    for (std::int64_t j = 0; j < q.s.k; ++j) most = std::max(most, std::fabs(w[i * q.s.k + j]));
    const float scale = most / 127.0f;
    for (std::int64_t j = 0; j < q.s.k; ++j) {
      const float v = w[i * q.s.k + j], want = std::nearbyint(v / scale) * scale;
      expect(q.w[i * q.s.k + j] == want, label(q, dtw, "rounding"));
      expect(std::fabs(v - want) <= scale * 0.5001f, label(q, dtw, "error above half a step"));
    }
  }
}

// Squared error of a group with its codes chosen for a scale.
const double kCodes[] = {-127, -99, -78, -61, -46, -33, -21, -9, 2, 13, 24, 36, 49, 64, 82, 105};
double squared_error(const float* w, std::int64_t count, double scale) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    double least = INFINITY;
    for (double c : kCodes) least = std::min(least, std::fabs(w[i] - c * scale));
    sum += least * least;
  }
  return sum;
}

// The error is near the least of an exhaustive search, with room for the places that are not tried and, per weight,
// for the rounding of the scale to bf16.
void check_nibbles(const Weight& q, const Values& w, int dtw) {
  double got = 0, best = 0;
  for (std::int64_t i = 0; i < q.s.n; ++i)
    for (std::int64_t start = 0; start < q.s.k; start += q.s.group) {
      const std::int64_t count = std::min(q.s.group, q.s.k - start);
      const float* from = &w[i * q.s.k + start];
      double most = 0, least = INFINITY;
      for (std::int64_t j = 0; j < count; ++j) {
        const double error = double(from[j]) - q.w[i * q.s.k + start + j];
        got += error * error;
        most = std::max(most, std::fabs(double(from[j])));
      }
      for (int t = 70; t <= 140; t += 2)
        for (double end : {127.0, -127.0}) least = std::min(least, squared_error(from, count, most * t / 100 / end));
      best += least;
    }
  expect(got <= 1.1 * best + std::ldexp(double(q.s.n * q.s.k), -18), label(q, dtw, "the error of the scale"));
}

// Results by case name, of the first instruction set.
std::map<std::string, Buffer::Bytes> known;

void same_everywhere(const std::string& name, const Buffer& b) {
  const auto [first, fresh] = known.emplace(name, b.bytes);
  expect(fresh || first->second == b.bytes, name + " differs between instruction sets");
}

Weight quantized(Random& random, Size s, int bits, int dtw) {
  const Values w = random_values(random, s.n * s.k, dtw);
  Weight result{bits, s, Buffer::raw(unimoer::kernel_table().quantized_bytes(bits, s.group, s.n, s.k)), {}};
  for (unsigned char& b : result.q.bytes) b = 0xa5;
  Buffer source = Buffer::of(w, dtw), back = Buffer::empty(w.size(), kF32);
  Status status = call(unimoer::k_quantize_weight, {&source, &result.q}, {d(dtw), d(bits), d(s.group), d(s.n), d(s.k)});
  expect(status == Status::ok, label(result, dtw, "quantise: ") + unimoer::last_error());
  status = call(unimoer::k_dequantize_weight, {&result.q, &back}, {d(bits), d(s.group), 0, d(s.n), d(s.k)});
  expect(status == Status::ok, label(result, dtw, "dequantise: ") + unimoer::last_error());
  result.w = back.values();
  same_everywhere(label(result, dtw, "weight"), back);
  bits == 8 ? check_bytes(result, w, dtw) : check_nibbles(result, w, dtw);
  return result;
}

Values rounded(Values w, int dtype) {
  if (dtype == kBF16)
    for (float& v : w) v = from_bf16(to_bf16(v));
  return w;
}

void test_products(Random& random, const Weight& weight, int dtx, bool with_bias) {
  const auto [m, n, k, group] = weight.s;
  const Values w = rounded(weight.w, dtx);
  for (const bool trans : {false, true}) {
    const std::int64_t lanes = trans ? k : n, depth = trans ? n : k;
    const Values x = random_values(random, m * depth, dtx), bias = random_values(random, lanes, kF32);
    Values want(m * lanes);
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < lanes; ++j) {
        double sum = with_bias ? bias[j] : 0.0f;
        for (std::int64_t l = 0; l < depth; ++l) sum += double(x[i * depth + l]) * w[trans ? l * k + j : j * k + l];
        want[i * lanes + j] = static_cast<float>(sum);
      }
    Buffer q = weight.q, bx = Buffer::of(x, dtx), by = Buffer::empty(want.size(), dtx);
    Buffer bb = with_bias ? Buffer::of(bias, kF32) : Buffer::absent(), none = Buffer::absent();
    const auto run = [&](Buffer& out) {
      return linear_quantized(bx, q, bb, none, out, {d(dtx), d(weight.bits), d(group), 0, d(m), d(n), d(k), d(trans)});
    };
    const std::string name = label(weight, dtx, trans ? "x w" : "x wT");
    expect(run(by) == Status::ok, name + ": " + unimoer::last_error());
    expect_close(by.values(), want, dtx == kBF16 ? 1.0 / 128 : 2e-6, std::sqrt(d(depth)), name);
    for (int threads : {1, 4}) {
      unimoer::set_pool_threads(threads);
      Buffer again = Buffer::empty(want.size(), dtx);
      run(again);
      expect(again.bytes == by.bytes, name + " depends on the number of threads");
    }
    unimoer::set_pool_threads(2);
    Buffer sum = by, apart = Buffer::empty(want.size(), dtx);
    linear_quantized(bx, q, bb, sum, sum, {d(dtx), d(weight.bits), d(group), 0, d(m), d(n), d(k), d(trans)});
    linear_quantized(bx, q, bb, by, apart, {d(dtx), d(weight.bits), d(group), 0, d(m), d(n), d(k), d(trans)});
    expect(apart.bytes == sum.bytes, name + " differs on top of another array");
    Values twice = by.values();
    for (std::size_t i = 0; i < twice.size(); ++i) twice[i] += want[i];
    expect_close(sum.values(), twice, dtx == kBF16 ? 1.0 / 128 : 2e-6, std::sqrt(d(depth)), name + " on top");
    // The packed form of the same weight gives the same numbers.
    Buffer packed = Buffer::raw(unimoer::kernel_table().packed_bytes(dtx, lanes, depth)), from_pack = by;
    call(unimoer::k_expand_quantized, {&q, &packed}, {d(weight.bits), d(group), d(dtx), d(n), d(k), d(trans)});
    call(unimoer::k_linear_packed, {&bx, &packed, &bb, &none, &from_pack}, {d(dtx), d(dtx), d(m), d(lanes), d(depth)});
    expect(from_pack.bytes == by.bytes, name + " differs from the expanded pack");
    // A row is the same whatever rows come with it.
    Buffer one = Buffer::of(Values(x.end() - depth, x.end()), dtx), single = Buffer::empty(lanes, dtx);
    linear_quantized(one, q, bb, none, single, {d(dtx), d(weight.bits), d(group), 0, 1, d(n), d(k), d(trans)});
    expect(std::memcmp(single.bytes.data(), by.bytes.data() + by.bytes.size() - single.bytes.size(),
                       single.bytes.size()) == 0,
           name + " depends on the other rows");
  }
}

void test_integer(Random& random, const Weight& weight, int dtx, bool with_bias) {
  const auto [m, n, k, group] = weight.s;
  Values x = random_values(random, m * k, dtx);
  const Values bias = random_values(random, n, kF32);
  if (m > 2) std::fill(x.begin(), x.begin() + k, 0.0f);
  Values want(m * n);
  for (std::int64_t i = 0; i < m; ++i) {
    float most = 0;
    for (std::int64_t l = 0; l < k; ++l) most = std::max(most, std::fabs(x[i * k + l]));
    const float inverse = most > 0 ? 127.0f / most : 0;
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::int64_t l = 0; l < k; ++l) sum += std::nearbyint(x[i * k + l] * inverse) * double(weight.w[j * k + l]);
      want[i * n + j] = static_cast<float>(sum * double(most / 127.0f) + (with_bias ? bias[j] : 0.0f));
    }
  }
  Buffer q = weight.q, bx = Buffer::of(x, dtx), by = Buffer::empty(want.size(), dtx);
  Buffer bb = with_bias ? Buffer::of(bias, kF32) : Buffer::absent(), none = Buffer::absent();
  const std::string name = label(weight, dtx, with_bias ? "integer with bias" : "integer");
  for (int threads : {2, 1, 4}) {
    unimoer::set_pool_threads(threads);
    Buffer y = Buffer::empty(want.size(), dtx);
    const Status status =
        linear_quantized(bx, q, bb, none, y, {d(dtx), d(weight.bits), d(group), 1, d(m), d(n), d(k)});
    expect(status == Status::ok, name + ": " + unimoer::last_error());
    if (threads == 2) by = y;
    expect(y.bytes == by.bytes, name + " depends on the number of threads");
  }
  unimoer::set_pool_threads(2);
  // Sums are exact, within a group if in int4. What is left are roundings of the scales, of the weights in `want`
  // and, in int4, one a group.
  expect_close(by.values(), want, dtx == kBF16 ? 1.0 / 256 : 1e-6, weight.bits == 8 ? 1.0 : std::sqrt(d(k)), name);
  same_everywhere(name, by);
  Buffer one = Buffer::of(Values(x.end() - k, x.end()), dtx), single = Buffer::empty(n, dtx);
  linear_quantized(one, q, bb, none, single, {d(dtx), d(weight.bits), d(group), 1, 1, d(n), d(k)});
  expect(std::memcmp(single.bytes.data(), by.bytes.data() + by.bytes.size() - single.bytes.size(),
                     single.bytes.size()) == 0,
         name + " depends on the other rows");
  // A residual is added to the product in f32, before it is rounded to bf16.
  if (dtx == kF32) {
    Buffer sum = by;
    linear_quantized(bx, q, bb, sum, sum, {0, d(weight.bits), d(group), 1, d(m), d(n), d(k)});
    Values twice = by.values();
    for (float& v : twice) v += v;
    expect(sum.values() == twice, name + " on top of a residual");
  } else {
    Buffer wide_x = Buffer::of(x, kF32), wide_y = Buffer::empty(m * n, kF32), sum = Buffer::empty(m * n, kBF16);
    linear_quantized(wide_x, q, bb, none, wide_y, {0, d(weight.bits), d(group), 1, d(m), d(n), d(k)});
    linear_quantized(bx, q, bb, by, sum, {1, d(weight.bits), d(group), 1, d(m), d(n), d(k)});
    Values total = wide_y.values();
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += by.values()[i];
    expect(sum.bytes == Buffer::of(total, kBF16).bytes, name + " on top of a bf16 residual");
  }
}

// Three weights over one activated x have the bits of single calls after the activation's own kernel.
void test_together(Random& random, int bits, bool integer, int dtx, std::int64_t m) {
  const std::int64_t k = 72, n[3] = {70, 33, 16};
  Buffer x = Buffer::of(random_values(random, m * k, dtx), dtx), gate = Buffer::of(random_values(random, m * k, dtx), dtx);
  Buffer none = Buffer::absent(), active = Buffer::empty(m * k, dtx);
  std::vector<Buffer> q, bias, residual;
  for (std::int64_t lanes : n) {
    Buffer w = Buffer::of(random_values(random, lanes * k, kF32), kF32);
    q.push_back(Buffer::raw(unimoer::kernel_table().quantized_bytes(bits, 32, lanes, k)));
    call(unimoer::k_quantize_weight, {&w, &q.back()}, {0, d(bits), 32, d(lanes), d(k)});
    bias.push_back(Buffer::of(random_values(random, lanes, kF32), kF32));
    residual.push_back(Buffer::of(random_values(random, m * lanes, dtx), dtx));
  }
  bias[1] = residual[0] = Buffer::absent();
  const int kernels[] = {unimoer::k_relu, unimoer::k_gelu, unimoer::k_gelu_tanh};
  for (int activation = -1; activation < 4; ++activation) {
    Status status = Status::ok;
    if (activation == 3)
      status = call(unimoer::k_swiglu, {&gate, &x, &active}, {d(dtx), d(m * k)});
    else if (activation >= 0)
      status = call(kernels[activation], {&x, &active}, {d(dtx), d(m * k)});
    expect(status == Status::ok, "the activation's own kernel runs");
    std::vector<Buffer> ys;
    std::vector<Buffer*> buffers = {&x, activation == 3 ? &gate : &none};
    for (std::int64_t lanes : n) ys.push_back(Buffer::empty(m * lanes, dtx));
    for (int i = 0; i < 3; ++i) buffers.insert(buffers.end(), {&q[i], &bias[i], &residual[i], &ys[i]});
    status = call(unimoer::k_linear_quantized, buffers,
                  {d(dtx), d(bits), 32, d(integer), 0, d(activation), d(m), d(k), d(n[0]), d(n[1]), d(n[2])});
    char name[120];
    std::snprintf(name, sizeof name, "together int%d integer=%d dt=%d m=%ld activation %d", bits, integer, dtx, m, activation);
    expect(status == Status::ok, std::string(name) + ": " + unimoer::last_error());
    for (int i = 0; i < 3; ++i) {
      Buffer single = Buffer::empty(m * n[i], dtx);
      linear_quantized(activation < 0 ? x : active, q[i], bias[i], residual[i], single,
                       {d(dtx), d(bits), 32, d(integer), d(m), d(n[i]), d(k)});
      expect(single.bytes == ys[i].bytes, std::string(name) + " differs from single calls");
    }
  }
}

void test_special_rows(double bits) {
  Buffer w = Buffer::of(Values(2 * 40, 0.5f), kF32);
  Buffer q = Buffer::raw(unimoer::kernel_table().quantized_bytes(int(bits), 32, 2, 40));
  call(unimoer::k_quantize_weight, {&w, &q}, {0, bits, 32, 2, 40});
  Values x(4 * 40, 1.0f);
  x[3] = NAN;
  x[40 + 39] = INFINITY;
  for (int i = 0; i < 40; ++i) x[80 + i] = 1e-38f, x[120 + i] = 3e38f;
  Buffer bx = Buffer::of(x, kF32), none = Buffer::absent(), y = Buffer::empty(8, kF32);
  linear_quantized(bx, q, none, none, y, {0, bits, 32, 1, 4, 2, 40});
  const Values v = y.values();
  expect(std::isnan(v[0]) && std::isnan(v[2]), "NaN and infinite activations give NaN");
  expect(v[4] == 0 && v[5] == 0, "a row of tiny activations is zero");
  expect(std::isinf(v[6]), "overflow is infinite");
}

void test_refusals() {
  Buffer w = Buffer::of(Values(64, 1), kF32), q = Buffer::raw(1 << 16), y = Buffer::raw(1 << 12);
  Buffer none = Buffer::absent();
  const auto pack = [&](double bits, double group, double n, double k) {
    return call(unimoer::k_quantize_weight, {&w, &q}, {0, bits, group, n, k});
  };
  expect(pack(8, 0, 8, 8) == Status::ok && pack(4, 16, 8, 8) == Status::ok, "quantize_weight accepts exact sizes");
  expect(pack(5, 16, 8, 8) == Status::unsupported, "quantize_weight refuses 5 bits");
  expect(pack(4, 24, 8, 8) == Status::bad_argument, "quantize_weight refuses odd groups");
  expect(pack(8, 0, 9, 8) == Status::bad_argument, "quantize_weight refuses a short weight");
  expect(pack(8, 0, 1e9, 1e9) == Status::bad_argument, "quantize_weight refuses huge sizes");
  Buffer bad = Buffer::of(Values(64, NAN), kF32);
  expect(call(unimoer::k_quantize_weight, {&bad, &q}, {0, 4, 16, 8, 8}) == Status::bad_argument, "NaN is refused");
  const auto run = [&](double bits, double integer, double m, double trans) {
    return linear_quantized(w, q, none, none, y, {0, bits, 16, integer, m, 8, 8, trans});
  };
  expect(run(8, 1, 8, 0) == Status::ok && run(4, 0, 8, 1) == Status::ok, "linear_quantized accepts exact sizes");
  expect(run(4, 1, 8, 0) == Status::ok, "integer activations take int4");
  expect(run(8, 1, 8, 1) == Status::bad_argument, "integer activations are forward only");
  expect(run(8, 0, 9, 0) == Status::bad_argument, "linear_quantized refuses short activations");
  const auto sizes = [&](double activation, double trans, double first, double second) {
    return call(unimoer::k_linear_quantized, padded({&w, &none, &q, &none, &none, &y, &q, &none, &none, &y}, 14),
                {0, 8, 0, 0, trans, activation, 8, 8, first, second, 0});
  };
  expect(sizes(-1, 0, 8, 8) == Status::ok, "linear_quantized takes two weights");
  expect(sizes(-1, 1, 8, 8) == Status::bad_argument, "linear_quantized takes one weight in reverse");
  expect(sizes(-1, 0, 0, 0) == Status::bad_argument, "linear_quantized refuses no weight");
  expect(sizes(4, 0, 8, 0) == Status::bad_argument, "linear_quantized refuses an unknown activation");
  expect(sizes(3, 0, 8, 0) == Status::bad_argument, "linear_quantized refuses a missing gate");
}

}  // namespace

int main() {
  return for_each_isa([] {
    Random random;
    for (const Size& s : kSizes)
      for (int bits : {8, 4})
        for (int dtw : {kF32, kBF16}) {
          const Weight weight = quantized(random, s, bits, dtw);
          for (int dtx : {kF32, kBF16}) test_products(random, weight, dtx, dtw == kF32);
          for (int dtx : {kF32, kBF16}) test_integer(random, weight, dtx, dtw == kF32);
        }
    for (int bits : {8, 4})
      for (bool integer : {true, false})
        for (int dtx : {kF32, kBF16})
          for (std::int64_t m : {3, 150}) test_together(random, bits, integer, dtx, m);
    for (double bits : {8, 4}) test_special_rows(bits);
    test_refusals();
  });
}
