// Included before engine/dispatch.cpp: what is emulated, and that AVX2 is all it takes.
#pragma once

#define UNIMOER_ISAS(X) X(avx512bf16) X(avx512)
#define __builtin_cpu_supports(feature) __builtin_cpu_supports("avx2")
