// Scratch memory, and the weights in the order in which the products read them.
#pragma once
#include "case.h"
#include "lattice.h"
#include "simd.h"

namespace ISA {

INLINE long rounded_up(long n, long to) { return (n + to - 1) / to * to; }

// Deals out pieces of a block of memory that begin at a cache line. Without a block it only counts.
struct Arena {
    float* base = nullptr;
    long used = 0;

    float* take(long floats) {
        float* p = base ? base + used : nullptr;
        used += rounded_up(floats, 16);
        return p;
    }
};

// Floats that something takes: `lay_out` takes them from the arena it is given.
template <class F> static long floats_of(F lay_out) {
    Arena counting;
    lay_out(counting);
    return counting.used;
}

// Weights as rows of what they multiply: for a product `a w`, one row for each value of a.
struct Weights {
    int hidden, updates, drive, drive_padded;  // updates: C, or 2 C with a gate; drive_padded: E in whole vectors
    float* state_in;     // [K C, H]
    float* drive_in;     // [E, H], right after state_in
    float* hidden_bias;  // [H]
    float* update_in;    // [H, updates]
    float* update_bias;  // [updates]
    float* update_out;   // [updates, H]
    float* state_out;    // [H, K C]
    float* drive_out;    // [H, drive_padded]

    Weights(const Case& k, int inputs, Arena& arena) {
        hidden = k.hidden;
        updates = k.gated ? 2 * k.channels : k.channels;
        drive = k.drive_channels;
        drive_padded = (int)rounded_up(drive, lanes<Wide>);
        state_in = arena.take((long)(inputs + drive) * hidden);
        drive_in = state_in + (long)inputs * hidden;
        hidden_bias = arena.take(hidden);
        update_in = arena.take((long)hidden * updates);
        update_bias = arena.take(updates);
        update_out = arena.take((long)updates * hidden);
        state_out = arena.take((long)hidden * inputs);
        drive_out = arena.take((long)hidden * drive_padded);
    }
    void fill(const Case& k, int inputs, const Parameters& p) {
        const int H = hidden, C = k.channels;
        memcpy(hidden_bias, p.hidden_bias, sizeof(float) * H);
        for (int h = 0; h < H; h++) {
            for (int i = 0; i < inputs; i++) {
                state_in[(long)i * H + h] = p.state_weight[(long)h * inputs + i];
                state_out[(long)h * inputs + i] = p.state_weight[(long)h * inputs + i];
            }
            for (int e = 0; e < drive_padded; e++) {
                const float w = e < drive ? p.drive_weight[(long)h * drive + e] : 0.0f;
                if (e < drive) drive_in[(long)e * H + h] = w;
                drive_out[(long)h * drive_padded + e] = w;
            }
            for (int u = 0; u < updates; u++) {
                float w = u < C ? p.update_weight[(long)u * H + h] : p.gate_weight[(long)(u - C) * H + h];
                update_in[(long)h * updates + u] = w;
                update_out[(long)u * H + h] = w;
            }
        }
        for (int u = 0; u < updates; u++) update_bias[u] = u < C ? p.update_bias[u] : p.gate_bias[u - C];
    }
};

}  // namespace ISA
