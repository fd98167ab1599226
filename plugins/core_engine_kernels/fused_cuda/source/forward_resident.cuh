// Forward of lattices that fit a block: all steps in one launch.
#pragma once

#include "forward.cuh"

// `steps` steps of `batch` samples, `group` of them to a block at a time. state and final [batch, cells, CHANNELS] are
// float32 if `wide` and `final_wide`, else bf16. kept: bf16 [K, batch, cells, CHANNELS], the states that enter steps
// every, 2 every, ...; or null.
KERNEL(forward_resident)(const void* state, int wide, void* final, int final_wide, const Bf16* drive,
                         const Bf16* input_weight, const Bf16* output_weight, const float* output_bias,
                         const Bf16* position, Bf16* kept, Lattice lattice, int batch, int group, int steps, int every,
                         Noise noise) {
    int cells = lattice.cells();
    int rows = (group * cells + TILE - 1) / TILE * TILE;
    Allocator allocator(shared_memory());
    Weights weights(allocator);
    Rows<CHANNELS> shared = allocator.rows<CHANNELS>(rows + 1);
    Resident window{lattice, allocator.take(rows), rows};
    Inputs inputs{drive, position};
    weights.load(input_weight, output_weight, output_bias);
    window.prepare(group * cells);
    for (int i = thread_index(); i < CHANNELS / 8; i += THREADS) store_vector(shared.chunk(rows, i), Vector16{});

    int warp = thread_index() / 32;
    long long all = static_cast<long long>(batch) * cells;
    for (int start = block_index() * group; start < batch; start += block_count() * group) {
        int samples = batch - start < group ? batch - start : group;
        Span span{static_cast<long long>(start) * cells, samples * cells, 0, cells};
        Master<TILES> master;
        UNROLL for (int i = 0; i < TILES; i++)
            UNROLL for (int half = 0; half < 2; half++) {
                int row = (i * WARPS + warp) * TILE + fragment_row() + 8 * half;
                long long at = (span.first + row) * CHANNELS + fragment_column();
                UNROLL for (int n = 0; n < CHANNELS / 8; n++) {
                    Float2 pair = {0.0f, 0.0f};
                    if (row < span.valid) pair = load_values(state, wide, at + n * 8);
                    master[i][n][2 * half] = pair.x;
                    master[i][n][2 * half + 1] = pair.y;
                }
            }
        NO_UNROLL for (int step = 0; step < steps; step++) {
            bool keep = kept != nullptr && step > 0 && step % every == 0;
            Bf16* keep_at = keep ? kept + ((step / every - 1) * all + span.first) * CHANNELS : nullptr;
            UNROLL for (int i = 0; i < TILES; i++)
                UNROLL for (int half = 0; half < 2; half++) {
                    int row = (i * WARPS + warp) * TILE + fragment_row() + 8 * half;
                    if (row >= rows) continue;
                    bool used = row < span.valid;
                    CellNoise drawn = {};
                    if (NOISE && used) drawn = noise.of(span.first + row, cells, step);
                    UNROLL for (int n = 0; n < CHANNELS / 8; n++) {
                        float &x = master[i][n][2 * half], &y = master[i][n][2 * half + 1];
                        int channel = n * 8 + fragment_column();
                        if (keep && used) store_pair(keep_at + row * CHANNELS + channel, pack(x, y));
                        if (NOISE && used) drawn.add_to(x, y, channel);
                        store_pair(shared.pair(row, channel), pack(x, y));
                    }
                }
            barrier();
            UNROLL for (int i = 0; i < TILES; i += FORWARD_TILES) {
                if ((i * WARPS + warp) * TILE >= rows) continue;
                int tiles[FORWARD_TILES];
                UNROLL for (int j = 0; j < FORWARD_TILES; j++) tiles[j] = ((i + j) * WARPS + warp) * TILE;
                advance<FORWARD_TILES>(master + i, tiles, window, shared, weights, inputs, span);
            }
            barrier();
        }
        UNROLL for (int i = 0; i < TILES; i++)
            UNROLL for (int half = 0; half < 2; half++) {
                int row = (i * WARPS + warp) * TILE + fragment_row() + 8 * half;
                long long at = (span.first + row) * CHANNELS + fragment_column();
                if (row < span.valid)
                    UNROLL for (int n = 0; n < CHANNELS / 8; n++)
                        store_values(final, final_wide, at + n * 8, master[i][n][2 * half], master[i][n][2 * half + 1]);
            }
    }
}
