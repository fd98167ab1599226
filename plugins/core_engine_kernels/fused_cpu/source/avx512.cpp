// For x86 processors with AVX512. The headers of the system come first: what they define is for every processor.
#if defined(__x86_64__)
#include <immintrin.h>
#include <omp.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "case.h"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,bmi2"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,bmi2")
#endif
#define ISA avx512
#define LANES 16
#include "rollout.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
