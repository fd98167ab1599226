// One step of some tiles, for both regimes.
#pragma once

#include "functions.cuh"
#include "network.cuh"

// The states, in float32, of tiles that the warp keeps in registers.
template <int COUNT>
using Master = float[COUNT][CHANNELS / 8][4];

// One step of COUNT tiles. `master` is read and written, `state` only read.
template <int COUNT, class Window>
DEVICE void advance(float (*master)[CHANNELS / 8][4], const int (&tiles)[COUNT], const Window& window,
                    const Rows<CHANNELS>& state, const Weights& weights, const Inputs& inputs, const Span& span) {
    float out[COUNT][OUTPUTS / 8][4];
    network<COUNT, FORWARD_BLOCK>(out, tiles, window, state, weights, inputs, span);
    UNROLL for (int i = 0; i < COUNT; i++)
        UNROLL for (int n = 0; n < CHANNELS / 8; n++)
            UNROLL for (int r = 0; r < 4; r++) {
                float update = out[i][n][r];
                if (GATED) update *= sigmoid(out[i][n + OUTPUTS / 8 - CHANNELS / 8][r]);
                master[i][n][r] += update;
            }
}
