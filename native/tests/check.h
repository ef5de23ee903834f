// What the native tests share: random data, bf16 by hand, kernel calls on vectors, comparison.
#pragma once
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "unimoer/kernel.h"
#include "unimoer/pool.h"

namespace check {

using Values = std::vector<float>;

inline int failures = 0;

struct Random {
  std::uint64_t state = 0x9e3779b97f4a7c15ull;
  std::uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
  float uniform() { return static_cast<float>(next() >> 40) / 8388608.0f - 1.0f; }
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(n)); }
};

inline std::uint16_t to_bf16(float v) {
  std::uint32_t u;
  std::memcpy(&u, &v, 4);
  return static_cast<std::uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
inline float from_bf16(std::uint16_t h) {
  const std::uint32_t u = static_cast<std::uint32_t>(h) << 16;
  float v;
  std::memcpy(&v, &u, 4);
  return v;
}

// Aligned like the engine's own buffers, which timings depend on.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{64})); }
  void deallocate(T* p, std::size_t) { ::operator delete(p, std::align_val_t{64}); }
  bool operator==(const AlignedAllocator&) const { return true; }
};

// A buffer of exactly the needed size on the heap, so that a sanitizer sees any overrun.
struct Buffer {
  using Bytes = std::vector<unsigned char, AlignedAllocator<unsigned char>>;
  Bytes bytes;
  int dtype = unimoer::kF32;
  bool present = true;

  static Buffer of(const Values& values, int dtype) {
    Buffer b;
    b.dtype = dtype;
    b.bytes.resize(values.size() * (dtype == unimoer::kBF16 ? 2 : 4));
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (dtype == unimoer::kBF16) {
        const std::uint16_t h = to_bf16(values[i]);
        std::memcpy(&b.bytes[2 * i], &h, 2);
      } else {
        std::memcpy(&b.bytes[4 * i], &values[i], 4);
      }
    }
    return b;
  }
  static Buffer ints(const std::vector<std::int32_t>& values) {
    Buffer b;
    b.dtype = unimoer::kI32;
    b.bytes.resize(values.size() * 4);
    if (!values.empty()) std::memcpy(b.bytes.data(), values.data(), b.bytes.size());
    return b;
  }
  static Buffer empty(std::size_t count, int dtype) { return of(Values(count, NAN), dtype); }
  static Buffer raw(std::size_t size) {
    Buffer b;
    b.bytes.resize(size);
    return b;
  }
  static Buffer absent() {
    Buffer b;
    b.present = false;
    return b;
  }
  Values values() const {
    Values v(bytes.size() / (dtype == unimoer::kBF16 ? 2 : 4));
    for (std::size_t i = 0; i < v.size(); ++i) {
      if (dtype == unimoer::kBF16) {
        std::uint16_t h;
        std::memcpy(&h, &bytes[2 * i], 2);
        v[i] = from_bf16(h);
      } else {
        std::memcpy(&v[i], &bytes[4 * i], 4);
      }
    }
    return v;
  }
};

inline Values random_values(Random& random, std::size_t count, int dtype, float scale = 1.0f) {
  Values v(count);
  for (float& x : v) {
    x = random.uniform() * scale;
    if (dtype == unimoer::kBF16) x = from_bf16(to_bf16(x));
  }
  return v;
}

// The buffers of a kernel call, with absent ones behind them.
inline std::vector<Buffer*> padded(std::vector<Buffer*> buffers, std::size_t count) {
  static Buffer none = Buffer::absent();
  buffers.resize(count, &none);
  return buffers;
}

inline unimoer::Status call(int id, const std::vector<Buffer*>& buffers, std::initializer_list<double> args) {
  void* ptr[unimoer::kMaxBuffers];
  std::size_t bytes[unimoer::kMaxBuffers];
  static unsigned char nothing[1];
  int n = 0;
  for (Buffer* b : buffers) {
    ptr[n] = b->present ? (b->bytes.empty() ? nothing : b->bytes.data()) : nullptr;
    bytes[n++] = b->present ? b->bytes.size() : 0;
  }
  return unimoer::launch_kernel(
      id, unimoer::KernelArgs{ptr, bytes, n, args.begin(), static_cast<int>(args.size())});
}

// linear_quantized with one weight: y = x wT + bias + residual, or x w with reverse.
struct QuantizedCall {
  double dtype, bits, group, integer, m, n, k, reverse = 0;
};
inline unimoer::Status linear_quantized(Buffer& x, Buffer& q, Buffer& bias, Buffer& residual, Buffer& y, const QuantizedCall& c) {
  static Buffer none = Buffer::absent();
  return call(unimoer::k_linear_quantized, padded({&x, &none, &q, &bias, &residual, &y}, 14),
              {c.dtype, c.bits, c.group, c.integer, c.reverse, -1, c.m, c.k, c.n, 0, 0});
}

inline void expect(bool ok, const std::string& what) {
  if (ok) return;
  ++failures;
  if (failures < 40) std::printf("FAIL [%s] %s\n", unimoer::isa_name(), what.c_str());
}

// |got - want| <= tolerance * (scale + |want|), element by element.
inline void expect_close(const Values& got, const Values& want, double tolerance, double scale,
                         const std::string& what) {
  if (got.size() != want.size()) return expect(false, what + ": sizes differ");
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::fabs(static_cast<double>(got[i]) - want[i]);
    if (!(error <= tolerance * (scale + std::fabs(static_cast<double>(want[i]))))) {
      char text[160];
      std::snprintf(text, sizeof text, ": element %zu is %g, expected %g (error %g)", i, static_cast<double>(got[i]),
                    static_cast<double>(want[i]), error);
      return expect(false, what + text);
    }
  }
}

// Runs `body` under every instruction set of this machine.
template <class F>
int for_each_isa(const F& body) {
  std::string error;
  for (const std::string& isa : unimoer::available_isas()) {
    if (!unimoer::select_isa(isa, error)) {
      std::printf("%s\n", error.c_str());
      return 1;
    }
    const int before = failures;
    body();
    std::printf("%s: %s\n", isa.c_str(), failures == before ? "ok" : "FAILED");
  }
  unimoer::stop_pool();
  return failures == 0 ? 0 : 1;
}

}  // namespace check
