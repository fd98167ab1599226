// The activations and their derivatives. Each is a struct with value(x, derivative&).
#pragma once
#include "case.h"
#include "simd.h"

namespace ISA {

template <class V> INLINE V sigmoid(V x) {
    V e = exp2_negative<V>(absolute<V>(x) * -1.44269504f);  // exp(-|x|)
    V s = reciprocal<V>(e + 1.0f);
    return x < 0.0f ? e * s : s;
}

// x Phi(x). Phi by Abramowitz and Stegun 7.1.26, absolute error 7.5e-8; the derivative is Phi(x) + x phi(x).
struct Gelu {
    template <class V> INLINE static V value(V x, V& derivative) {
        V e = exp2_negative<V>((x * x) * -0.72134752f);  // exp(-x^2 / 2)
        V t = reciprocal<V>(absolute<V>(x) * 0.23164190f + 1.0f);
        V p = all<V>(0.5f * 1.061405429f);
        p = p * t + 0.5f * -1.453152027f;
        p = p * t + 0.5f * 1.421413741f;
        p = p * t + 0.5f * -0.284496736f;
        p = p * t + 0.5f * 0.254829592f;
        V cdf = with_sign<V>(0.5f - (p * t) * e, x) + 0.5f;
        derivative = (x * 0.39894228f) * e + cdf;
        return x * cdf;
    }
};

// x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): 0.5 x (1 + tanh u).
struct GeluTanh {
    template <class V> INLINE static V value(V x, V& derivative) {
        V square = x * x;
        V s = sigmoid<V>(x * (square * (2 * 0.79788456f * 0.044715f) + 2 * 0.79788456f));
        V slope = square * (6 * 0.79788456f * 0.044715f) + 2 * 0.79788456f;
        derivative = s + (x * slope) * (s - s * s);
        return x * s;
    }
};

// The comparisons are such that what is no number stays none.
struct Relu {
    template <class V> INLINE static V value(V x, V& derivative) {
        derivative = x <= 0.0f ? V{} : all<V>(1.0f);
        return x <= 0.0f ? V{} : x;
    }
};

struct Silu {
    template <class V> INLINE static V value(V x, V& derivative) {
        V s = sigmoid<V>(x);
        derivative = s + x * (s - s * s);
        return x * s;
    }
};

template <class F> static void apply(float* values, int count) {
#pragma GCC unroll 2
    for (int i = 0; i < count; i += lanes<Wide>) {
        Wide unused;
        store(values + i, F::template value<Wide>(load<Wide>(values + i), unused));
    }
}

template <class F> static void apply(float* values, float* derivatives, int count) {
#pragma GCC unroll 2
    for (int i = 0; i < count; i += lanes<Wide>) {
        Wide derivative;
        store(values + i, F::template value<Wide>(load<Wide>(values + i), derivative));
        store(derivatives + i, derivative);
    }
}

// In place; count is a multiple of the vector width.
static void activate(int32_t which, float* values, int count) {
    switch (which) {
        case GELU: return apply<Gelu>(values, count);
        case GELU_TANH: return apply<GeluTanh>(values, count);
        case RELU: return apply<Relu>(values, count);
        default: return apply<Silu>(values, count);
    }
}

static void activate(int32_t which, float* values, float* derivatives, int count) {
    switch (which) {
        case GELU: return apply<Gelu>(values, derivatives, count);
        case GELU_TANH: return apply<GeluTanh>(values, derivatives, count);
        case RELU: return apply<Relu>(values, derivatives, count);
        default: return apply<Silu>(values, derivatives, count);
    }
}

}  // namespace ISA
