// The fused feed-forward part against the separate kernels, whose bits it must have, on several thread counts.
#include "check.h"

using namespace check;
using unimoer::kBF16;
using unimoer::kF32;
using unimoer::Status;

namespace {

enum { kRelu, kGelu, kGeluTanh, kSwiglu };
const int kForward[] = {unimoer::k_relu, unimoer::k_gelu, unimoer::k_gelu_tanh, unimoer::k_swiglu};

struct Weight {
  Buffer packed, packed_t;
};

Weight make_weight(Random& random, std::int64_t n, std::int64_t k, int dtype) {
  Values values = random_values(random, n * k, kF32);
  for (float& v : values) v *= 0.25f;
  Buffer plain = Buffer::of(values, kF32);
  const std::size_t bytes = unimoer::kernel_table().packed_bytes(dtype, n, k);
  Weight w{Buffer::raw(bytes), Buffer::raw(bytes)};
  call(unimoer::k_pack_weight, {&plain, &w.packed}, {0, double(dtype), double(n), double(k), 0});
  call(unimoer::k_pack_weight, {&plain, &w.packed_t}, {0, double(dtype), double(n), double(k), 1});
  return w;
}

void test_case(Random& random, std::int64_t m, int activation, int dtx, int dtp, std::int64_t d = 33, std::int64_t wide = 70) {
  const double dt = dtx, dp = dtp, dm = double(m), dd = double(d), dw = double(wide);
  const bool gated = activation == kSwiglu;
  Weight up = make_weight(random, wide, d, dtp), gate = make_weight(random, wide, d, dtp), down = make_weight(random, d, wide, dtp);
  Buffer x = Buffer::of(random_values(random, m * d, dtx), dtx), dy = Buffer::of(random_values(random, m * d, dtx), dtx);
  Buffer up_bias = Buffer::of(random_values(random, wide, kF32), kF32), down_bias = Buffer::of(random_values(random, d, kF32), kF32);
  Buffer none = Buffer::absent(), zero = Buffer::of(Values(m * d, 0.5f), dtx);
  char label[96];
  std::snprintf(label, sizeof label, "feed_forward m=%ld act=%d dt=%d%d: ", m, activation, dtx, dtp);
  const std::string name = label;

  Buffer u = Buffer::empty(m * wide, dtx), g = u, active = u, y = Buffer::empty(m * d, dtx);
  call(unimoer::k_linear_packed, {&x, &up.packed, &up_bias, &none, &u}, {dt, dp, dm, dw, dd});
  if (gated) {
    call(unimoer::k_linear_packed, {&x, &gate.packed, &none, &none, &g}, {dt, dp, dm, dw, dd});
    call(kForward[activation], {&g, &u, &active}, {dt, dm * dw});
  } else {
    call(kForward[activation], {&u, &active}, {dt, dm * dw});
  }
  call(unimoer::k_linear_packed, {&active, &down.packed, &down_bias, &none, &y}, {dt, dp, dm, dd, dw});
  Buffer added = Buffer::of(random_values(random, m * d, dtx), dtx), on_top = y;
  call(unimoer::k_linear_packed, {&active, &down.packed, &down_bias, &added, &on_top}, {dt, dp, dm, dd, dw});
  // dx on top of 0.5; relu's gradient has no kernel of its own and is written out.
  Buffer slopes = u, du = u, dg = u, dx = zero;
  call(unimoer::k_linear_packed, {&dy, &down.packed_t, &none, &none, &slopes}, {dt, dp, dm, dw, dd});
  if (gated) {
    call(unimoer::k_swiglu_grad, {&slopes, &g, &u, &dg, &du}, {dt, dm * dw});
  } else if (activation == kRelu) {
    Values s = slopes.values();
    const Values at = u.values();
    for (std::size_t i = 0; i < s.size(); ++i) s[i] = at[i] > 0 ? s[i] : 0;
    du = Buffer::of(s, dtx);
  } else {
    call(activation == kGelu ? unimoer::k_gelu_grad : unimoer::k_gelu_tanh_grad, {&slopes, &u, &du}, {dt, dm * dw});
  }
  call(unimoer::k_linear_packed, {&du, &up.packed_t, &none, &dx, &dx}, {dt, dp, dm, dd, dw});
  if (gated) call(unimoer::k_linear_packed, {&dg, &gate.packed_t, &none, &dx, &dx}, {dt, dp, dm, dd, dw});

  for (int threads : {1, 2, 4}) {
    unimoer::set_pool_threads(threads);
    for (bool kept : {true, false}) {
      Buffer fu = Buffer::empty(m * wide, dtx), fg = fu, fy = Buffer::empty(m * d, dtx), fdx = fy;
      Status status = call(unimoer::k_feed_forward,
                           {&x, &up.packed, &up_bias, &gate.packed, &none, &down.packed, &down_bias, kept ? &fu : &none,
                            kept ? &fg : &none, &fy, kept ? &added : &none},
                           {dt, dp, dm, dd, dw, double(activation)});
      expect(status == Status::ok, name + unimoer::last_error());
      expect(fy.bytes == (kept ? on_top : y).bytes, name + "y has the bits of the separate kernels");
      if (!kept) continue;
      expect(fu.bytes == u.bytes && (!gated || fg.bytes == g.bytes), name + "what it keeps has the bits of the separate kernels");
      status = call(unimoer::k_feed_forward_grad,
                    {&dy, &fu, &fg, &up.packed_t, &gate.packed_t, &down.packed_t, &fdx, &zero},
                    {dt, dp, dm, dd, dw, double(activation)});
      expect(status == Status::ok, name + unimoer::last_error());
      if (gated)  // summed in registers here, over memory there
        expect_close(fdx.values(), dx.values(), dtx == kBF16 ? 1.0 / 64 : 3e-6, 8, name + "dx");
      else
        expect_close(fdx.values(), dx.values(), dtx == kBF16 ? 1.0 / 128 : 1e-6, 4, name + "dx");
    }
  }
  unimoer::set_pool_threads(2);
}

}  // namespace

int main() {
  return for_each_isa([] {
    Random random;
    for (std::int64_t m : {1, 5, 120, 800})
      for (int activation : {kRelu, kGelu, kGeluTanh, kSwiglu})
        for (int bits = 0; bits < 4; ++bits) test_case(random, m, activation, bits & 1, bits >> 1);
    // Whole panels, and rows of the inner array a multiple of 4096 bytes apart.
    for (int activation : {kGelu, kSwiglu})
      for (int bits = 0; bits < 4; ++bits) test_case(random, 120, activation, bits & 1, bits >> 1, 64, 2048);
  });
}
