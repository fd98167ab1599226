// The state's noise: the recipe of core_engine/core/noise.py, bit for bit up to its third step.
#pragma once
#include "simd.h"

namespace ISA {

INLINE uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

constexpr uint64_t GAMMA = 0x9E3779B97F4A7C15u;

static uint64_t noise_key(int64_t seed, int64_t sample, int64_t step) {
    uint64_t key = mix((uint64_t)seed + GAMMA);
    key = mix((key ^ (uint64_t)sample) + GAMMA);
    return mix((key ^ (uint64_t)step) + GAMMA);
}

// ln(x) for 2^-24 <= x <= 1: Cephes' logf. Relative error below 2e-7.
INLINE float log_unit(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    int32_t exponent = (int32_t)(bits >> 23) - 126;
    bits = (bits & 0x007FFFFFu) | 0x3F000000u;  // mantissa in [0.5, 1)
    float m;
    memcpy(&m, &bits, 4);
    bool low = m < 0.70710678f;
    float e = (float)(low ? exponent - 1 : exponent);
    float f = (low ? m + m : m) - 1.0f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    float square = f * f;
    float y = p * f * square + e * -2.12194440e-4f - 0.5f * square;
    return (f + y) + e * 0.693359375f;
}

// values[0 .. 2 pairs) += scale * noise of the elements first_pair * 2 onwards of one sample. The loop is plain, so that
// the compiler turns it into vectors.
static void add_noise(float* values, long first_pair, int pairs, uint64_t key, float scale) {
    for (int j = 0; j < pairs; j++) {
        uint64_t bits = mix(key + (uint64_t)(first_pair + j + 1) * GAMMA);
        float u = ((float)(int32_t)(bits >> 40) + 1.0f) * 0x1p-24f;
        float v = (float)(int32_t)(bits & 0xFFFFFFu) * 0x1p-24f;
        float radius = scale * __builtin_sqrtf(-2.0f * log_unit(u));
        // 2 pi v = q pi / 2 + angle, |angle| <= pi / 4; exact, since v has 24 bits.
        int32_t q = (int32_t)(v * 4.0f + 0.5f);
        float angle = (v - (float)q * 0.25f) * 6.28318531f, square = angle * angle;
        float s = angle + angle * square * (-1.6666654611e-1f + square * (8.3321608736e-3f - square * 1.9515295891e-4f));
        float c = 1.0f - 0.5f * square +
                  square * square * (4.166664568298827e-2f + square * (-1.388731625493765e-3f + square * 2.443315711809948e-5f));
        float cosine = (q & 1) ? s : c, sine = (q & 1) ? c : s;
        cosine = ((q + 1) & 2) ? -cosine : cosine;
        sine = (q & 2) ? -sine : sine;
        values[2 * j] += radius * cosine;
        values[2 * j + 1] += radius * sine;
    }
}

}  // namespace ISA
