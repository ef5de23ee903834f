// Asking for rows before they are needed: the rows of one head lie far apart, which the hardware does
// not foresee.
#pragma once
#include "simd.h"

namespace unimoer::UNIMOER_ISA_NS {
namespace {

// `bytes` of each row, into the second cache.
UM_INLINE void prefetch_rows(const void* at, int64_t ld, int64_t rows, int64_t bytes) {
  const char* row = static_cast<const char*>(at);
  for (int64_t r = 0; r < rows; ++r, row += ld) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(row + i, 0, 2);
  }
}

// Rows to ask for, `step` at a time, so that the requests do not crowd out the loads of the work between.
struct Ahead {
  const void* at;
  int64_t ld, left, bytes, step;  // ld in bytes
  UM_INLINE void ask(int64_t most) {
    const int64_t rows = most < left ? most : left;
    prefetch_rows(at, ld, rows, bytes);
    at = static_cast<const char*>(at) + rows * ld;
    left -= rows;
  }
};

}  // namespace
}  // namespace unimoer::UNIMOER_ISA_NS
