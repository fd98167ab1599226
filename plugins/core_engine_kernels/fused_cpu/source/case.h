// What a call is about: the C interface's structures. Python's mirror of them is library.py.
#pragma once
#include <cstdint>

// The sizes there is code for: 8, 16, 32 or 64 channels, a hidden layer of 32, 64, 96 or 128.
constexpr int MAX_CHANNELS = 64, MAX_HIDDEN = 128, MAX_DRIVE = 64;

enum Activation : int32_t { GELU = 0, GELU_TANH = 1, RELU = 2, SILU = 3 };

// Shapes: B batch, N = x y z cells, C channels, E drive channels, H hidden, K = neighbours + 1, T steps.
struct Case {
    int32_t batch, x, y, z;
    int32_t channels, drive_channels, hidden, neighbours;
    int32_t activation, gated, periodic, steps;
    int32_t every;    // of the states that enter steps 1, 2, ..., every such one is kept for the backward pass
    int32_t threads;  // at most
    int32_t isa;      // index into the table of api.cpp
    float state_noise;
    int64_t seed;
};

// As in the module: state_weight [H, K, C], drive_weight [H, E], hidden_bias [H], position [N, H] or null,
// update_weight [C, H], update_bias [C], gate_weight [C, H] and gate_bias [C] or null.
template <class Float>
struct ParametersOf {
    Float *state_weight, *drive_weight, *hidden_bias, *position;
    Float *update_weight, *update_bias, *gate_weight, *gate_bias;
};
using Parameters = ParametersOf<const float>;
using Gradients = ParametersOf<float>;

// state, out, grad, d_state [B, N, C]; drive, d_drive [B, N, E]; sample_ids [B]; states [(T - 1) / every, B, N, C].
struct ForwardArguments {
    const float *state, *drive;
    const int64_t* sample_ids;
    float *out, *states;  // states null: keep none
};
struct BackwardArguments {
    const float *state, *drive;
    const int64_t* sample_ids;
    const float *states, *grad;
    float *d_state, *d_drive;
};

// One implementation for each instruction set; false where there is no memory for the scratch buffers.
#define DECLARE_ISA(name)                                                                 \
    namespace name {                                                                      \
    bool forward(const Case&, const Parameters&, const ForwardArguments&);                \
    bool backward(const Case&, const Parameters&, const BackwardArguments&, Gradients&);  \
    }
DECLARE_ISA(avx512)
DECLARE_ISA(avx2)
DECLARE_ISA(portable)
#undef DECLARE_ISA
