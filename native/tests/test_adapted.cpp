// The adapted linear and its gradient against double-precision loops, and against itself on other
// thread counts.
#include "check.h"

using namespace check;
using unimoer::kBF16;
using unimoer::kF32;
using unimoer::Status;

namespace {

struct Case {
  std::int64_t m, n, k, ranks, experts, groups;
  bool gates, bias, residual = false;
};
const Case kCases[] = {{1, 1, 1, 1, 1, 1, false, true},    {7, 33, 17, 3, 1, 1, false, false},
                       {40, 64, 48, 16, 1, 1, false, true}, {61, 96, 65, 24, 3, 5, true, true, true},
                       {150, 40, 96, 64, 8, 9, true, false}, {800, 70, 31, 8, 2, 3, true, true, true},
                       {600, 32, 32, 96, 3, 40, true, true}};

double tolerance(int dtype) { return dtype == kBF16 ? 1.0 / 48 : 3e-6; }

struct Data {
  Values x, w, bias, A, B, gates, scale, dy, residual;
  std::vector<std::int32_t> row_to_gate, expert;
};

Data make(Random& random, const Case& c, int dtx, int dtp) {
  Data d{random_values(random, c.m * c.k, dtx),     random_values(random, c.n * c.k, dtp),
         random_values(random, c.n, kF32),          random_values(random, c.ranks * c.k, dtx),
         random_values(random, c.n * c.ranks, dtx), random_values(random, c.groups * c.experts, kF32),
         random_values(random, c.ranks, kF32),      random_values(random, c.m * c.n, dtx),
         random_values(random, c.m * c.n, dtx),     {},
         {}};
  for (std::int64_t t = 0; t < c.m; ++t) d.row_to_gate.push_back(static_cast<std::int32_t>(random.below(c.groups)));
  for (std::int64_t j = 0; j < c.ranks; ++j)
    d.expert.push_back(static_cast<std::int32_t>(j * c.experts / c.ranks));
  return d;
}

// op(a) op(b) with op by strides, in double.
std::vector<double> product(std::int64_t m, std::int64_t n, std::int64_t k, const std::vector<double>& a, std::int64_t ai,
                            std::int64_t ak, const std::vector<double>& b, std::int64_t bk, std::int64_t bj) {
  std::vector<double> c(m * n);
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t l = 0; l < k; ++l) c[i * n + j] += a[i * ai + l * ak] * b[l * bk + j * bj];
  return c;
}

std::vector<double> wide(const Values& v) { return {v.begin(), v.end()}; }
Values narrow(const std::vector<double>& v) { return {v.begin(), v.end()}; }

void test_case(Random& random, const Case& c, int dtx, int dtp) {
  const Data d = make(random, c, dtx, dtp);
  const std::vector<double> x = wide(d.x), w = wide(d.w), A = wide(d.A), B = wide(d.B), dy = wide(d.dy);
  std::vector<double> scale(c.m * c.ranks);
  for (std::int64_t t = 0; t < c.m; ++t)
    for (std::int64_t j = 0; j < c.ranks; ++j)
      scale[t * c.ranks + j] =
          d.scale[j] * (c.gates ? d.gates[d.row_to_gate[t] * c.experts + d.expert[j]] : 1.0f);
  const std::vector<double> h = product(c.m, c.ranks, c.k, x, c.k, 1, A, 1, c.k);
  std::vector<double> z = h;
  for (std::size_t i = 0; i < z.size(); ++i) z[i] *= scale[i];
  std::vector<double> y = product(c.m, c.n, c.k, x, c.k, 1, w, 1, c.k);
  const std::vector<double> expand = product(c.m, c.n, c.ranks, z, c.ranks, 1, B, 1, c.ranks);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += expand[i] + (c.bias ? d.bias[i % c.n] : 0.0f) + (c.residual ? d.residual[i] : 0.0f);
  const std::vector<double> dz = product(c.m, c.ranks, c.n, dy, c.n, 1, B, c.ranks, 1);
  std::vector<double> dh = dz, dgates(c.groups * c.experts);
  for (std::int64_t t = 0; t < c.m; ++t)
    for (std::int64_t j = 0; j < c.ranks; ++j) {
      dh[t * c.ranks + j] *= scale[t * c.ranks + j];
      dgates[d.row_to_gate[t] * c.experts + d.expert[j]] += d.scale[j] * dz[t * c.ranks + j] * h[t * c.ranks + j];
    }
  std::vector<double> dx = product(c.m, c.k, c.n, dy, c.n, 1, w, c.k, 1);
  const std::vector<double> dx2 = product(c.m, c.k, c.ranks, dh, c.ranks, 1, A, c.k, 1);
  for (std::size_t i = 0; i < dx.size(); ++i) dx[i] += dx2[i];
  const std::vector<double> dA = product(c.ranks, c.k, c.m, dh, 1, c.ranks, x, c.k, 1);
  const std::vector<double> dB = product(c.n, c.ranks, c.m, dy, 1, c.n, z, c.ranks, 1);

  Buffer bw = Buffer::of(d.w, kF32), bx = Buffer::of(d.x, dtx), bA = Buffer::of(d.A, kF32), bB = Buffer::of(d.B, kF32);
  Buffer bdy = Buffer::of(d.dy, dtx), bscale = Buffer::of(d.scale, kF32);
  Buffer bbias = c.bias ? Buffer::of(d.bias, kF32) : Buffer::absent();
  Buffer bresidual = c.residual ? Buffer::of(d.residual, dtx) : Buffer::absent();
  Buffer bgates = c.gates ? Buffer::of(d.gates, kF32) : Buffer::absent();
  Buffer brow = c.gates ? Buffer::ints(d.row_to_gate) : Buffer::absent();
  Buffer bexpert = c.gates ? Buffer::ints(d.expert) : Buffer::absent();
  const std::size_t packed_bytes = unimoer::kernel_table().packed_bytes(dtp, c.n, c.k);
  Buffer packed = Buffer::raw(packed_bytes), packed_t = Buffer::raw(packed_bytes);
  call(unimoer::k_pack_weight, {&bw, &packed}, {0, double(dtp), double(c.n), double(c.k), 0});
  call(unimoer::k_pack_weight, {&bw, &packed_t}, {0, double(dtp), double(c.n), double(c.k), 1});
  char label[160];
  std::snprintf(label, sizeof label, "adapted m=%ld n=%ld k=%ld R=%ld N=%ld G=%ld dt=%d%d ", c.m, c.n, c.k, c.ranks,
                c.experts, c.groups, dtx, dtp);
  const std::string name = label;

  std::vector<Values> results[2];
  for (int round = 0; round < 2; ++round) {
    unimoer::set_pool_threads(round ? 4 : 1);
    Buffer by = Buffer::empty(c.m * c.n, dtx), bh = Buffer::empty(c.m * c.ranks, kF32);
    Buffer bdx = Buffer::empty(c.m * c.k, dtx), bdA = Buffer::empty(c.ranks * c.k, kF32);
    Buffer bdB = Buffer::empty(c.n * c.ranks, kF32);
    Buffer bdg = c.gates ? Buffer::empty(c.groups * c.experts, kF32) : Buffer::absent();
    const double m = double(c.m), n = double(c.n), k = double(c.k), r = double(c.ranks), e = double(c.experts),
                 g = double(c.groups);
    Status status = call(unimoer::k_adapted_linear,
                         padded({&bx, &bgates, &brow, &bh, &by, &packed, &bA, &bB, &bscale, &bexpert, &bbias, &bresidual}, 28),
                         {double(dtx), double(dtp), m, k, e, g, n, r, 0, 0, 0, 0, 0});
    expect(status == Status::ok, name + "forward: " + unimoer::last_error());
    status = call(unimoer::k_adapted_linear_grad,
                  padded({&bx, &bgates, &brow, &bh, &bdx, &bdg, &bdy, &packed_t, &bA, &bB, &bscale, &bexpert, &bdA, &bdB}, 30),
                  {double(dtx), double(dtp), m, k, e, g, n, r, 0, 0, 0, 0, 0, 0});
    expect(status == Status::ok, name + "gradient: " + unimoer::last_error());
    results[round] = {by.values(), bh.values(), bdx.values(), bdA.values(), bdB.values()};
    if (c.gates) results[round].push_back(bdg.values());
  }
  unimoer::set_pool_threads(2);
  const Values want[] = {narrow(y), narrow(h), narrow(dx), narrow(dA), narrow(dB), narrow(dgates)};
  const char* const names[] = {"y", "H", "dx", "dA", "dB", "dGates"};
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    double norm = 0;
    for (float v : want[i]) norm += double(v) * v;
    const double typical = std::sqrt(norm / double(want[i].size())) + 1e-6;
    expect_close(results[0][i], want[i], tolerance(dtx), typical * 2, name + names[i]);
    expect(std::memcmp(results[0][i].data(), results[1][i].data(), results[0][i].size() * 4) == 0,
           name + names[i] + " depends on the number of threads");
  }
}

// Three members of one group give the bits of three single calls; only dx is summed in another order.
void test_group(Random& random, int dtx, int dtp) {
  const std::int64_t m = 800, k = 65, n[3] = {70, 33, 16}, r[3] = {8, 0, 24};
  const double dt = dtx, dp = dtp, dm = double(m), dk = double(k);
  Buffer x = Buffer::of(random_values(random, m * k, dtx), dtx), none = Buffer::absent();
  std::vector<Buffer> y, w, wt, A, B, scale, dA, dB, bias, dy;
  for (int i = 0; i < 3; ++i) {
    Buffer plain = Buffer::of(random_values(random, n[i] * k, kF32), kF32);
    const std::size_t bytes = unimoer::kernel_table().packed_bytes(dtp, n[i], k);
    w.push_back(Buffer::raw(bytes)), wt.push_back(Buffer::raw(bytes));
    call(unimoer::k_pack_weight, {&plain, &w[i]}, {0, dp, double(n[i]), dk, 0});
    call(unimoer::k_pack_weight, {&plain, &wt[i]}, {0, dp, double(n[i]), dk, 1});
    y.push_back(Buffer::empty(m * n[i], dtx)), dy.push_back(Buffer::of(random_values(random, m * n[i], dtx), dtx));
    A.push_back(Buffer::of(random_values(random, r[i] * k, kF32), kF32)), dA.push_back(A[i]);
    B.push_back(Buffer::of(random_values(random, r[i] * n[i], kF32), kF32)), dB.push_back(B[i]);
    scale.push_back(Buffer::of(Values(r[i], 0.5f), kF32)), bias.push_back(Buffer::of(random_values(random, n[i], kF32), kF32));
  }
  Buffer h = Buffer::empty(m * 32, kF32), dx = Buffer::empty(m * k, dtx);
  const auto forward = [&](std::vector<int> members, Buffer& hidden) {
    std::vector<Buffer*> buffers = {&x, &none, &none, &hidden};
    double size[6] = {};
    for (std::size_t j = 0; j < members.size(); ++j) {
      const int i = members[j];
      for (Buffer* b : {&y[i], &w[i], &A[i], &B[i], &scale[i], &none, &bias[i], &none}) buffers.push_back(b);
      size[2 * j] = double(n[i]), size[2 * j + 1] = double(r[i]);
    }
    return call(unimoer::k_adapted_linear, padded(buffers, 28),
                {dt, dp, dm, dk, 0, 0, size[0], size[1], size[2], size[3], size[4], size[5], 0});
  };
  const auto backward = [&](std::vector<int> members, Buffer& hidden, double beta) {
    std::vector<Buffer*> buffers = {&x, &none, &none, &hidden, &dx, &none};
    double size[6] = {};
    for (std::size_t j = 0; j < members.size(); ++j) {
      const int i = members[j];
      for (Buffer* b : {&dy[i], &wt[i], &A[i], &B[i], &scale[i], &none, &dA[i], &dB[i]}) buffers.push_back(b);
      size[2 * j] = double(n[i]), size[2 * j + 1] = double(r[i]);
    }
    return call(unimoer::k_adapted_linear_grad, padded(buffers, 30),
                {dt, dp, dm, dk, 0, 0, size[0], size[1], size[2], size[3], size[4], size[5], 0, beta});
  };
  expect(forward({0, 1, 2}, h) == Status::ok && backward({0, 1, 2}, h, 0) == Status::ok, "a group of three runs");
  const std::vector<Buffer> gy = y, gdA = dA, gdB = dB;
  const Buffer gdx = dx;
  for (int i = 0; i < 3; ++i) {
    Buffer own = Buffer::empty(m * r[i], kF32);
    // The sum in memory: each single call adds to dx.
    expect(forward({i}, own) == Status::ok && backward({i}, own, i ? 1 : 0) == Status::ok, "a group of one runs");
    expect(gy[i].bytes == y[i].bytes, "y of a group has the bits of a single call");
    expect(gdA[i].bytes == dA[i].bytes && gdB[i].bytes == dB[i].bytes, "dA and dB of a group have the bits of single calls");
  }
  expect_close(gdx.values(), dx.values(), dtx == kBF16 ? 1.0 / 48 : 3e-6, 12, "dx of a group is the sum of single ones");
}

void test_refusals() {
  Buffer x = Buffer::empty(8, kF32), a = Buffer::empty(8, kF32), y = Buffer::empty(8, kF32), none = Buffer::absent();
  Buffer packed = Buffer::raw(unimoer::kernel_table().packed_bytes(kF32, 2, 2)), s = Buffer::of(Values(2, 1), kF32);
  Buffer gates = Buffer::of(Values(4, 1), kF32), bad = Buffer::ints({0, 7}), good = Buffer::ints({0, 1});
  const auto run = [&](Buffer* rows, Buffer* experts) {
    return call(unimoer::k_adapted_linear, padded({&x, &gates, rows, &y, &y, &packed, &a, &a, &s, experts, &none}, 28),
                {0, 0, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0});
  };
  expect(run(&bad, &good) == Status::bad_argument, "rowToGate out of range is refused");
  expect(run(&good, &bad) == Status::bad_argument, "rankExpert out of range is refused");
}

}  // namespace

int main() {
  return for_each_isa([] {
    Random random;
    for (const Case& c : kCases)
      for (int bits = 0; bits < 4; ++bits) test_case(random, c, bits & 1, bits >> 1);
    for (int bits = 0; bits < 4; ++bits) test_group(random, bits & 1, bits >> 1);
    test_refusals();
  });
}
