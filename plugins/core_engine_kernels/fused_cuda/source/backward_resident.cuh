// Backward of lattices that fit a block: all steps of a segment in one launch.
#pragma once

#include "backward.cuh"

// states: bf16 [steps - 1, batch, cells, CHANNELS], those that enter steps 1, 2, ...; `first_state`, float32 if `wide`,
// else bf16, enters step 0. gradient: float32 [batch, cells, CHANNELS], of the state after the last step; in the end,
// of the first state. The other gradients are added to what is there: drive_gradient [batch, cells, DRIVE] and, a part
// for each block, weight_gradient, bias_gradient and position_gradient [blocks, group * cells, HIDDEN] (or null).
KERNEL(backward_resident)(const void* first_state, int wide, const Bf16* states, const Bf16* drive,
                          const Bf16* input_weight, const Bf16* output_weight, const float* output_bias,
                          const Bf16* position, float* gradient, float* drive_gradient, float* weight_gradient,
                          float* bias_gradient, float* position_gradient, Lattice lattice, int batch, int group,
                          int steps, Noise noise) {
    int cells = lattice.cells();
    int rows = (group * cells + TILE - 1) / TILE * TILE;
    Allocator allocator(shared_memory());
    Weights weights(allocator);
    Rows<CHANNELS> state = allocator.rows<CHANNELS>(rows + 1);
    Rows<HIDDEN> dz = allocator.rows<HIDDEN>(rows + 1);
    Chunk chunk(allocator);
    Resident window{lattice, allocator.take(rows), rows};
    Inputs inputs{drive, position};
    weights.load(input_weight, output_weight, output_bias);
    window.prepare(group * cells);
    for (int i = thread_index(); i < CHANNELS / 8; i += THREADS) store_vector(state.chunk(rows, i), Vector16{});
    for (int i = thread_index(); i < HIDDEN / 8; i += THREADS) store_vector(dz.chunk(rows, i), Vector16{});

    int warp = thread_index() / 32;
    if (position_gradient != nullptr)
        position_gradient += static_cast<long long>(block_index()) * group * cells * HIDDEN;
    long long all = static_cast<long long>(batch) * cells;
    WeightGradient sums;
    BiasGradient bias;
    for (int start = block_index() * group; start < batch; start += block_count() * group) {
        int samples = batch - start < group ? batch - start : group;
        Span span{static_cast<long long>(start) * cells, samples * cells, 0, cells};
        NO_UNROLL for (int step = steps - 1; step >= 0; step--) {
            const void* from = step ? states + (step - 1) * all * CHANNELS : first_state;
            for (int i = thread_index(); i < rows * (CHANNELS / 2); i += THREADS) {
                int row = i / (CHANNELS / 2), channel = i % (CHANNELS / 2) * 2;
                Float2 pair = {0.0f, 0.0f};
                if (row < span.valid) {
                    pair = load_values(from, step == 0 && wide, (span.first + row) * CHANNELS + channel);
                    if (NOISE) noise.of(span.first + row, cells, step).add_to(pair.x, pair.y, channel);
                }
                store_pair(state.pair(row, channel), pack(pair.x, pair.y));
            }
            barrier();
            NO_UNROLL for (int first = 0; first < rows; first += CHUNK) {
                int tile = first + warp * TILE;
                if (warp * TILE < CHUNK && tile < rows)
                    first_sweep(chunk, warp * TILE, dz, tile, window, tile, state, weights, inputs, span, gradient,
                                position_gradient, bias);
                barrier();
                NO_UNROLL for (int row = 0; row < CHUNK && first + row < rows; row += TILE)
                    sums.add(chunk, row, dz, first + row, window, first + row, state);
                barrier();
            }
            NO_UNROLL for (int first = warp * TILE; first < rows; first += TILE * WARPS * PULL_TILES) {
                int tiles[PULL_TILES], at[PULL_TILES];
                float back[PULL_TILES][CHANNELS / 8][4];
                clear(back);
                UNROLL for (int i = 0; i < PULL_TILES; i++) tiles[i] = first + i * TILE * WARPS;
                NO_UNROLL for (int k = 0; k < DIRECTIONS; k++) {
                    // A cell's state reaches the cell that sees it in direction k: its neighbour the opposite way.
                    UNROLL for (int i = 0; i < PULL_TILES; i++)
                        at[i] = window.neighbour(window.cell(tiles[i] + lane_row()), opposite(k));
                    send_back<PULL_TILES, CHANNELS>(back, at, dz, weights.input, k * CHANNELS);
                }
                UNROLL for (int i = 0; i < PULL_TILES; i++) {
                    add_to<CHANNELS, CHANNELS>(gradient, back[i], span, tiles[i], 0);
                    at[i] = window.neighbour(window.cell(tiles[i] + lane_row()), 0);
                }
                send_back_drive<PULL_TILES>(drive_gradient, at, tiles, dz, weights.input, span);
            }
            // No barrier: until the next one, nothing is written that this sweep reads.
        }
    }
    sums.store(weight_gradient);
    bias.store(bias_gradient);
}
