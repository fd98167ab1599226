// Vectors of floats, in the compiler's own vector extension, so that one source serves every instruction set.
// Nothing of the C++ library is used below this line of headers: its inline functions would be compiled for the
// instruction set of whichever file came last, and called from all.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>

#define INLINE inline __attribute__((always_inline))

namespace ISA {

typedef float V4 __attribute__((vector_size(16)));
typedef float V8 __attribute__((vector_size(32)));
typedef float V16 __attribute__((vector_size(64)));
typedef int32_t I4 __attribute__((vector_size(16)));
typedef int32_t I8 __attribute__((vector_size(32)));
typedef int32_t I16 __attribute__((vector_size(64)));

template <class V> struct Traits;
template <> struct Traits<V4> { using Int = I4; static constexpr int lanes = 4; };
template <> struct Traits<V8> { using Int = I8; static constexpr int lanes = 8; };
template <> struct Traits<V16> { using Int = I16; static constexpr int lanes = 16; };
template <class V> constexpr int lanes = Traits<V>::lanes;

// The widest vector, how many of them a tile is wide, and how many cells high at each width: as many accumulators as
// the registers hold beside a row of weights.
#if LANES == 16
using Wide = V16;
constexpr int MAX_VECTORS = 4;
constexpr int MAX_CELLS[] = {0, 12, 12, 8, 6};
#elif LANES == 8
using Wide = V8;
constexpr int MAX_VECTORS = 2;
constexpr int MAX_CELLS[] = {0, 12, 6};
#else
using Wide = V4;
constexpr int MAX_VECTORS = 2;
constexpr int MAX_CELLS[] = {0, 12, 6};
#endif

template <class V> INLINE V load(const float* p) { V v; memcpy(&v, p, sizeof(V)); return v; }
template <class V> INLINE void store(float* p, V v) { memcpy(p, &v, sizeof(V)); }
template <class V> INLINE V all(float f) { return f - V{}; }  // (0 + f would be an addition: f may be -0)
template <class V> INLINE V larger(V a, V b) { return a > b ? a : b; }  // b where one is no number

INLINE int smaller(int a, int b) { return a < b ? a : b; }
INLINE int larger(int a, int b) { return a > b ? a : b; }

// |x|, and a non-negative x with the sign of s.
template <class V> INLINE V absolute(V x) { return (V)((typename Traits<V>::Int)x & 0x7FFFFFFF); }
template <class V> INLINE V with_sign(V x, V s) {
    using Int = typename Traits<V>::Int;
    return (V)((Int)x | ((Int)s & (int32_t)0x80000000));
}

// 1 / x. Relative error below 2e-7.
template <class V> INLINE V reciprocal(V x) { return 1.0f / x; }

// 2^x for x <= 0; below -126 it is that of -126. Relative error below 2e-7 for the rounded x: a minimax polynomial of
// degree 5 on [-1/2, 1/2], times the power of the nearest integer. What is no number stays none: hence the order of the
// comparison, and a product instead of an addition to the exponent's bits.
template <class V> INLINE V exp2_polynomial(V f) {
    V p = all<V>(1.327647174e-3f);
    p = p * f + 9.675541540e-3f;
    p = p * f + 5.550713276e-2f;
    p = p * f + 2.402211972e-1f;
    p = p * f + 6.931469671e-1f;
    return p * f + 1.0f;
}
template <class V> INLINE V exp2_negative(V x) {
    using Int = typename Traits<V>::Int;
    x = larger<V>(all<V>(-126.0f), x);
    const float round = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    V shifted = x + round;
    V p = exp2_polynomial<V>(x - (shifted - round));
    return p * (V)(((Int)shifted << 23) + 0x3F800000);
}

#if LANES == 16
template <> INLINE V16 reciprocal<V16>(V16 x) {
    V16 r = (V16)_mm512_maskz_rcp14_ps(0xFFFF, (__m512)x);
    return r * (2.0f - x * r);
}
template <> INLINE V16 exp2_negative<V16>(V16 x) {
    V16 n = (V16)_mm512_maskz_roundscale_ps(0xFFFF, (__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return (V16)_mm512_maskz_scalef_ps(0xFFFF, (__m512)exp2_polynomial<V16>(x - n), (__m512)n);
}
#endif

}  // namespace ISA
