// Activations with their derivatives, and the noise of core_engine/core/noise.py.
#pragma once

#include "config.cuh"
#include "intrinsics.cuh"

constexpr float LOG2_E = 1.4426950408889634f;

DEVICE float sigmoid(float x) { return fast_reciprocal(1.0f + fast_exp2(-LOG2_E * x)); }

struct Activated {
    float value, derivative;
};

DEVICE Activated activate(float x) {
#if CELL_ACTIVATION == ACTIVATION_GELU
    // x P(x), P the normal distribution: 1 - P(|x|) by Abramowitz and Stegun, Handbook of Mathematical Functions,
    // 7.1.26, to 7.5e-8. The density is at hand for the derivative, P(x) + x P'(x).
    float t = fast_reciprocal(1.0f + 0.23164190f * fabsf(x));
    float bell = fast_exp2(-0.5f * LOG2_E * x * x);
    float series = 1.421413741f + t * (-1.453152027f + t * 1.061405429f);
    series = t * (0.254829592f + t * (-0.284496736f + t * series));
    float tail = 0.5f * series * bell;
    float probability = x < 0.0f ? tail : 1.0f - tail;
    return {x * probability, probability + 0.3989422804f * x * bell};
#elif CELL_ACTIVATION == ACTIVATION_RELU
    return {fmaxf(x, 0.0f), x > 0.0f ? 1.0f : 0.0f};
#else
    // x sigmoid(v): v = x for SiLU; for the tanh form of GELU twice the tanh's argument.
#if CELL_ACTIVATION == ACTIVATION_SILU
    float v = x, slope = 1.0f;
#else
    float square = x * x;
    float v = x * (1.5957691216f + 0.0713548162726f * square), slope = 1.5957691216f + 0.2140644488f * square;
#endif
    float share = sigmoid(v);
    return {x * share, share + x * share * (1.0f - share) * slope};
#endif
}

DEVICE unsigned long long mix(unsigned long long z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

constexpr unsigned long long GAMMA = 0x9E3779B97F4A7C15ull;

// Step 1 of the recipe.
DEVICE unsigned long long noise_key(long long seed, long long sample, long long step) {
    unsigned long long key = mix(static_cast<unsigned long long>(seed) + GAMMA);
    key = mix((key ^ static_cast<unsigned long long>(sample)) + GAMMA);
    return mix((key ^ static_cast<unsigned long long>(step)) + GAMMA);
}

// Steps 2 to 4: the normals of elements 2 `pair` and 2 `pair` + 1.
DEVICE Float2 normals(unsigned long long key, long long pair) {
    unsigned long long bits = mix(key + static_cast<unsigned long long>(pair + 1) * GAMMA);
    float u = static_cast<float>(static_cast<unsigned>(bits >> 40) + 1u) * 5.9604644775390625e-8f;
    float v = static_cast<float>(static_cast<unsigned>(bits) & 0xffffffu) * 5.9604644775390625e-8f;
    float radius = sqrtf(-2.0f * logf(u)), sine, cosine;
    sine_cosine_of_turns(v, &sine, &cosine);
    return {radius * cosine, radius * sine};
}

// The noise of one cell in one step.
struct CellNoise {
    unsigned long long key;
    long long first;    // the cell's first element within its sample
    float scale;

    DEVICE void add_to(float& x, float& y, int channel) const {
        Float2 pair = normals(key, (first + channel) >> 1);
        x += scale * pair.x;
        y += scale * pair.y;
    }
};

// What a launch needs for noise; `scale` is the standard deviation.
struct Noise {
    const long long* sample_ids;
    long long seed;
    long long first_step;
    float scale;

    // `cell` counts over all samples, `step` from the launch's first.
    DEVICE CellNoise of(long long cell, int cells, int step) const {
        long long sample = cell / cells;
        return {noise_key(seed, sample_ids[sample], first_step + step), (cell - sample * cells) * CHANNELS, scale};
    }
};
