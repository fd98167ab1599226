// Backward of one step of any lattice, first launch. A second, backward_step_states.cuh, must follow: a cell needs the
// dz of cells that other blocks treat.
#pragma once

#include "backward.cuh"

// The first sweep. state: bf16 [batch, cells, CHANNELS], what the step's network reads; gradient: of the state after
// the step; dz: bf16 [batch, cells, HIDDEN], written. Blocks come in `slots` sets; one set takes every chunk of some
// samples, so that position_gradient [slots, cells, HIDDEN] has one writer a value. The other sums have a part for each
// block.
KERNEL(backward_step)(const Bf16* state, const Bf16* drive, const Bf16* input_weight, const Bf16* output_weight,
                      const float* output_bias, const Bf16* position, const float* gradient, Bf16* dz,
                      float* weight_gradient, float* bias_gradient, float* position_gradient, Lattice lattice,
                      int batch, int slots) {
    int cells = lattice.cells(), chunks = (cells + CHUNK - 1) / CHUNK;
    Allocator allocator(shared_memory());
    Weights weights(allocator);
    Rows<CHANNELS> shared = allocator.rows<CHANNELS>(DIRECTIONS * CHUNK);
    Rows<HIDDEN> mine = allocator.rows<HIDDEN>(CHUNK);
    Chunk chunk(allocator);
    Gathered window;
    Inputs inputs{drive, position};
    weights.load(input_weight, output_weight, output_bias);

    int row = thread_index() / 32 * TILE;
    int slot = block_index() % slots, set = block_count() / slots;
    WeightGradient sums;
    BiasGradient bias;
    for (int sample = slot; sample < batch; sample += slots)
        for (int part = block_index() / slots; part < chunks; part += set) {
            int origin = part * CHUNK;
            long long first = static_cast<long long>(sample) * cells;
            Span span{first + origin, cells - origin, origin, cells};
            for (int k = 0; k < DIRECTIONS; k++)
                gather<CHANNELS>(shared, k * CHUNK, state + first * CHANNELS, lattice, origin, k);
            barrier();
            float* at_position = nullptr;
            if (position_gradient != nullptr)
                at_position = position_gradient + (static_cast<long long>(slot) * cells + origin) * HIDDEN;
            if (row < CHUNK)
                first_sweep(chunk, row, mine, row, window, row, shared, weights, inputs, span, gradient, at_position,
                            bias);
            barrier();
            NO_UNROLL for (int tile = 0; tile < CHUNK; tile += TILE)
                sums.add(chunk, tile, mine, tile, window, tile, shared);
            for (int i = thread_index(); i < CHUNK * (HIDDEN / 8); i += THREADS) {
                int at = i / (HIDDEN / 8), piece = i % (HIDDEN / 8);
                if (at < span.valid)
                    store_vector(dz + (span.first + at) * HIDDEN + piece * 8, load_vector(mine.chunk(at, piece)));
            }
            barrier();
        }
    sums.store(weight_gradient);
    bias.store(bias_gradient);
}
