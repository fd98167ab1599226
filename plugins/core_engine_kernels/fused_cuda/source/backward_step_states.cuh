// Backward of one step of any lattice, second launch.
#pragma once

#include "backward.cuh"

// The second sweep: gradient [batch, cells, CHANNELS] += what the neighbours' dz send back, drive_gradient alike.
KERNEL(backward_step_states)(const Bf16* dz, const Bf16* input_weight, const Bf16* output_weight,
                             const float* output_bias, float* gradient, float* drive_gradient, Lattice lattice,
                             int batch) {
    int cells = lattice.cells(), chunks = (cells + CHUNK - 1) / CHUNK;
    Allocator allocator(shared_memory());
    Weights weights(allocator);
    Rows<HIDDEN> shared = allocator.rows<HIDDEN>(CHUNK);
    weights.load(input_weight, output_weight, output_bias);

    int tiles[1] = {thread_index() / 32 * TILE}, rows[1] = {tiles[0] + lane_row()};
    long long items = static_cast<long long>(batch) * chunks;
    for (long long item = block_index(); item < items; item += block_count()) {
        int sample = static_cast<int>(item / chunks), origin = static_cast<int>(item % chunks) * CHUNK;
        long long first = static_cast<long long>(sample) * cells;
        Span span{first + origin, cells - origin, origin, cells};
        float back[1][CHANNELS / 8][4];
        clear(back);
        NO_UNROLL for (int k = 0; k < DIRECTIONS; k++) {
            // A cell's state reaches the cell that sees it in direction k: its neighbour the opposite way.
            gather<HIDDEN>(shared, 0, dz + first * HIDDEN, lattice, origin, opposite(k));
            barrier();
            send_back<1, CHANNELS>(back, rows, shared, weights.input, k * CHANNELS);
            if (k == 0) send_back_drive<1>(drive_gradient, rows, tiles, shared, weights.input, span);
            barrier();
        }
        add_to<CHANNELS, CHANNELS>(gradient, back[0], span, tiles[0], 0);
    }
}
