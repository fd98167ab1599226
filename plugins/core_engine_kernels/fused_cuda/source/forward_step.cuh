// Forward of one step of any lattice.
#pragma once

#include "forward.cuh"

// One step of `batch` samples of any size. master: float32 [batch, cells, CHANNELS], read and written; state: the same
// values in bf16, to be read by neighbours; next: bf16, what master has become. Blocks take every chunk of CHUNK cells
// of every sample.
KERNEL(forward_step)(float* master, const Bf16* state, Bf16* next, const Bf16* drive, const Bf16* input_weight,
                     const Bf16* output_weight, const float* output_bias, const Bf16* position, Lattice lattice,
                     int batch) {
    int cells = lattice.cells(), chunks = (cells + CHUNK - 1) / CHUNK;
    Allocator allocator(shared_memory());
    Weights weights(allocator);
    Rows<CHANNELS> shared = allocator.rows<CHANNELS>(DIRECTIONS * CHUNK);
    Gathered window;
    Inputs inputs{drive, position};
    weights.load(input_weight, output_weight, output_bias);

    int tiles[1] = {thread_index() / 32 * TILE};
    long long items = static_cast<long long>(batch) * chunks;
    for (long long item = block_index(); item < items; item += block_count()) {
        int sample = static_cast<int>(item / chunks), origin = static_cast<int>(item % chunks) * CHUNK;
        long long first = static_cast<long long>(sample) * cells;
        Span span{first + origin, cells - origin, origin, cells};
        for (int k = 0; k < DIRECTIONS; k++)
            gather<CHANNELS>(shared, k * CHUNK, state + first * CHANNELS, lattice, origin, k);
        barrier();
        Master<1> mine;
        UNROLL for (int half = 0; half < 2; half++) {
            int row = tiles[0] + fragment_row() + 8 * half;
            const float* from = master + (span.first + row) * CHANNELS + fragment_column();
            UNROLL for (int n = 0; n < CHANNELS / 8; n++) {
                Float2 pair = {0.0f, 0.0f};
                if (row < span.valid) pair = load_floats(from + n * 8);
                mine[0][n][2 * half] = pair.x;
                mine[0][n][2 * half + 1] = pair.y;
            }
        }
        advance<1>(mine, tiles, window, shared, weights, inputs, span);
        UNROLL for (int half = 0; half < 2; half++) {
            int row = tiles[0] + fragment_row() + 8 * half;
            long long at = (span.first + row) * CHANNELS + fragment_column();
            if (row < span.valid)
                UNROLL for (int n = 0; n < CHANNELS / 8; n++) {
                    float x = mine[0][n][2 * half], y = mine[0][n][2 * half + 1];
                    store_floats(master + at + n * 8, x, y);
                    store_pair(next + at + n * 8, pack(x, y));
                }
        }
        barrier();
    }
}
