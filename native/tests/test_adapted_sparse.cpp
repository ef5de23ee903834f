// The adapted linear and its gradient where gates are 0: computed for the active ranks alone against all ranks.
#include "check.h"

using namespace check;
using unimoer::kBF16;
using unimoer::kF32;
using unimoer::Status;

namespace {

double tolerance(int dtype) { return dtype == kBF16 ? 1.0 / 48 : 3e-6; }

// Leaving out the ranks of zero gates changes nothing but the gradients of those gates, which are 0. Members with
// 3 experts of 8 ranks each (the last of `odd` ones), rows in runs of `run` with gates of their own.
struct SparseCase {
  std::int64_t m, run, odd, only;  // only: one group of gates for all rows
};
const SparseCase kSparse[] = {{400, 70, 0, 0}, {333, 111, 1, 0}, {64, 64, 0, 0},
                              {200, 3, 0, 0},  {90, 90, 0, 1},   {9, 3, 0, 0}};

void test_sparse(Random& random, const SparseCase& c, int dtx, int dtp) {
  const std::int64_t m = c.m, k = 70, experts = 3, groups = c.only ? 1 : (m + c.run - 1) / c.run;
  const std::int64_t n[3] = {45, 70, 33};
  const std::int64_t r[3] = {24, 24, c.odd ? 23 : 24};
  Values gate_values;
  std::vector<std::int32_t> rows;
  for (std::int64_t g = 0; g < groups; ++g)
    for (std::int64_t e = 0; e < experts; ++e)
      gate_values.push_back(g % 5 == 3 ? 0 : (g + e) % 3 == 0 ? float(0.5 + 0.1 * double(g % 7)) : 0);
  for (std::int64_t t = 0; t < m; ++t) rows.push_back(static_cast<std::int32_t>(t / c.run));
  Buffer gates = Buffer::of(gate_values, kF32), row = c.only ? Buffer::absent() : Buffer::ints(rows);
  Buffer none = Buffer::absent();
  Buffer x = Buffer::of(random_values(random, m * k, dtx), dtx);
  std::vector<Buffer> w, wt, A, B, dy, scale, expert;
  for (int i = 0; i < 3; ++i) {
    Buffer plain = Buffer::of(random_values(random, n[i] * k, kF32), kF32);
    const std::size_t bytes = unimoer::kernel_table().packed_bytes(dtp, n[i], k);
    w.push_back(Buffer::raw(bytes)), wt.push_back(Buffer::raw(bytes));
    call(unimoer::k_pack_weight, {&plain, &w[i]}, {0, double(dtp), double(n[i]), double(k), 0});
    call(unimoer::k_pack_weight, {&plain, &wt[i]}, {0, double(dtp), double(n[i]), double(k), 1});
    A.push_back(Buffer::of(random_values(random, r[i] * k, kF32), kF32));
    B.push_back(Buffer::of(random_values(random, r[i] * n[i], kF32), kF32));
    dy.push_back(Buffer::of(random_values(random, m * n[i], dtx), dtx));
    scale.push_back(Buffer::of(random_values(random, r[i], kF32), kF32));
    std::vector<std::int32_t> own;
    for (std::int64_t j = 0; j < r[i]; ++j) own.push_back(static_cast<std::int32_t>(j / 8));
    expert.push_back(Buffer::ints(own));
  }
  char label[120];
  std::snprintf(label, sizeof label, "sparse m=%ld run=%ld odd=%ld one=%ld dt=%d%d ", m, c.run, c.odd, c.only, dtx, dtp);
  const std::string name = label;
  // Dense, sparse, sparse on four threads.
  std::vector<Values> results[3];
  for (int round = 0; round < 3; ++round) {
    unimoer::set_pool_threads(round == 2 ? 4 : 1);
    const double sparse = round > 0;
    Buffer h = Buffer::empty(m * (r[0] + r[1] + r[2]), kF32), dx = Buffer::empty(m * k, dtx);
    Buffer dg = Buffer::empty(groups * experts, kF32);
    std::vector<Buffer> y, dA = A, dB = B;
    for (int i = 0; i < 3; ++i) y.push_back(Buffer::empty(m * n[i], dtx));
    std::vector<Buffer*> forward = {&x, &gates, &row, &h}, backward = {&x, &gates, &row, &h, &dx, &dg};
    std::vector<double> sizes = {double(dtx), double(dtp), double(m), double(k), double(experts), double(groups)};
    for (int i = 0; i < 3; ++i) {
      for (Buffer* b : {&y[i], &w[i], &A[i], &B[i], &scale[i], &expert[i], &none, &none}) forward.push_back(b);
      for (Buffer* b : {&dy[i], &wt[i], &A[i], &B[i], &scale[i], &expert[i], &dA[i], &dB[i]}) backward.push_back(b);
      sizes.push_back(double(n[i])), sizes.push_back(double(r[i]));
    }
    const std::vector<double>& s = sizes;
    Status status = call(unimoer::k_adapted_linear, forward,
                         {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11], sparse});
    expect(status == Status::ok, name + "forward: " + unimoer::last_error());
    status = call(unimoer::k_adapted_linear_grad, backward,
                  {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11], sparse, 0});
    expect(status == Status::ok, name + "gradient: " + unimoer::last_error());
    results[round] = {dg.values(), dx.values()};
    for (int i = 0; i < 3; ++i)
      results[round].insert(results[round].end(), {y[i].values(), dA[i].values(), dB[i].values()});
  }
  unimoer::set_pool_threads(2);
  for (std::size_t i = 0; i < gate_values.size(); ++i)
    if (gate_values[i] == 0) results[0][0][i] = 0;
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    const std::string which = name + "result " + std::to_string(i);
    double norm = 0;
    for (float v : results[0][i]) norm += double(v) * v;
    const double typical = std::sqrt(norm / double(results[0][i].size())) + 1e-6;
    expect_close(results[1][i], results[0][i], tolerance(dtx), typical * 2, which);
    expect(std::memcmp(results[1][i].data(), results[2][i].data(), results[1][i].size() * 4) == 0,
           which + " depends on the number of threads");
  }
  for (std::size_t i = 0; i < gate_values.size(); ++i)
    expect(gate_values[i] != 0 || results[1][0][i] == 0, name + "a zero gate gets no gradient");
}

}  // namespace

int main() {
  return for_each_isa([] {
    Random random;
    for (const SparseCase& c : kSparse)
      for (int bits = 0; bits < 4; ++bits) test_sparse(random, c, bits & 1, bits >> 1);
  });
}
