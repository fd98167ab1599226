// The cell's small network on tiles of 16 cells, one warp each: bf16 factors, float32 sums.
#pragma once

#include "functions.cuh"
#include "lattice.cuh"
#include "memory.cuh"

// What the hidden layer adds besides the states. drive: [cells of all samples, DRIVE], the bias among its weights.
// position: [cells of a lattice, HIDDEN] in the order of POSITION_BLOCK, or null.
struct Inputs {
    const Bf16* drive;
    const Bf16* position;
};

// The lane's addresses for load_matrices: a [16 rows, 16 columns], and b [16, 16] as two neighbouring tiles of b.
DEVICE int lane_row() { return lane_index() & 15; }
DEVICE int lane_chunk() { return lane_index() >> 4; }
DEVICE int lane_row_of_columns() { return (lane_index() & 7) + (lane_index() >> 4) * 8; }
DEVICE int lane_chunk_of_columns() { return (lane_index() >> 3) & 1; }

// sums += a weight[:, column ... column + 16]^T for the hidden units from `unit` on.
template <int COUNT, int WIDTH, int PITCHED>
DEVICE void multiply_rows(float (&sums)[COUNT][WIDTH / 8][4], const unsigned (&a)[COUNT][4],
                          const Rows<PITCHED>& weight, int unit, int column) {
    UNROLL for (int n = 0; n < WIDTH / 8; n += 2) {
        unsigned b[4];
        load_matrices(b, weight.chunk(unit + n * 8 + lane_row_of_columns(), column / 8 + lane_chunk_of_columns()));
        UNROLL for (int i = 0; i < COUNT; i++) {
            multiply(sums[i][n], a[i], b[0], b[1]);
            multiply(sums[i][n + 1], a[i], b[2], b[3]);
        }
    }
}

// sums += a weight[row ... row + 16, column ... column + WIDTH].
template <int COUNT, int WIDTH, int PITCHED>
DEVICE void multiply_columns(float (&sums)[COUNT][WIDTH / 8][4], const unsigned (&a)[COUNT][4],
                             const Rows<PITCHED>& weight, int row, int column) {
    UNROLL for (int n = 0; n < WIDTH / 8; n += 2) {
        unsigned b[4];
        load_matrices_transposed(b, weight.chunk(row + lane_row(), column / 8 + n + lane_chunk()));
        UNROLL for (int i = 0; i < COUNT; i++) {
            multiply(sums[i][n], a[i], b[0], b[1]);
            multiply(sums[i][n + 1], a[i], b[2], b[3]);
        }
    }
}

template <int COUNT, int WIDTH>
DEVICE void clear(float (&sums)[COUNT][WIDTH][4]) {
    UNROLL for (int i = 0; i < COUNT; i++)
        UNROLL for (int n = 0; n < WIDTH; n++)
            UNROLL for (int r = 0; r < 4; r++) sums[i][n][r] = 0.0f;
}

// A tile's accumulator as the first factor of the next product: columns 16 kk ... 16 kk + 15 of it.
template <int WIDTH>
DEVICE void as_factor(unsigned (&a)[4], const float (&sums)[WIDTH][4], int kk) {
    a[0] = pack(sums[2 * kk][0], sums[2 * kk][1]);
    a[1] = pack(sums[2 * kk][2], sums[2 * kk][3]);
    a[2] = pack(sums[2 * kk + 1][0], sums[2 * kk + 1][1]);
    a[3] = pack(sums[2 * kk + 1][2], sums[2 * kk + 1][3]);
}

// sums [16, BLOCK] = the positions of a tile's cells, or zeros.
template <int BLOCK>
DEVICE void load_position(float (&sums)[BLOCK / 8][4], const Bf16* position, const Span& span, int tile, int unit) {
    UNROLL for (int half = 0; half < 2; half++) {
        int row = tile + fragment_row() + 8 * half;
        bool used = position != nullptr && row < span.valid;
        const Bf16* from = position + static_cast<long long>(used ? span.cell(row) : 0) * HIDDEN + unit;
        UNROLL for (int part = 0; part < BLOCK / POSITION_BLOCK; part++) {
            Vector16 values = {};
            if (used) values = load_vector(from + part * POSITION_BLOCK + (lane_index() & 3) * 8);
            UNROLL for (int n = 0; n < 4; n++) {
                sums[part * 4 + n][2 * half] = low_float(values.words[n]);
                sums[part * 4 + n][2 * half + 1] = high_float(values.words[n]);
            }
        }
    }
}

// The first factor from the drive, straight from device memory: little beside what the neighbourhoods read, and the
// room in shared memory goes to larger lattices. Padding reads zeros.
DEVICE void load_drive(unsigned (&a)[4], const Bf16* drive, const Span& span, int tile, int column) {
    UNROLL for (int half = 0; half < 2; half++) {
        int row = tile + fragment_row() + 8 * half;
        bool used = row < span.valid;
        const Bf16* from = drive + (span.first + row) * DRIVE + column + fragment_column();
        a[half] = used ? load_pair(from) : 0u;
        a[half + 2] = used ? load_pair(from + 8) : 0u;
    }
}

// z [16, BLOCK]: what enters the activation of hidden units `unit` ... of the tiles that start at the rows `tiles`.
template <int COUNT, int BLOCK, class Window>
DEVICE void hidden_layer(float (&z)[COUNT][BLOCK / 8][4], const int (&tiles)[COUNT], const Window& window,
                         const Rows<CHANNELS>& state, const Rows<INPUTS>& weight, const Inputs& inputs,
                         const Span& span, int unit) {
    UNROLL for (int i = 0; i < COUNT; i++) load_position<BLOCK>(z[i], inputs.position, span, tiles[i], unit);
    // Device memory is slow: what the drive's product needs first is asked for before the neighbourhoods.
    unsigned drive[COUNT][4];
    UNROLL for (int i = 0; i < COUNT; i++) load_drive(drive[i], inputs.drive, span, tiles[i], 0);
    NO_UNROLL for (int k = 0; k < DIRECTIONS; k++) {
        int rows[COUNT];
        UNROLL for (int i = 0; i < COUNT; i++) rows[i] = window.neighbour(window.cell(tiles[i] + lane_row()), k);
        UNROLL for (int kk = 0; kk < CHANNELS / 16; kk++) {
            unsigned a[COUNT][4];
            UNROLL for (int i = 0; i < COUNT; i++) load_matrices(a[i], state.chunk(rows[i], 2 * kk + lane_chunk()));
            multiply_rows<COUNT, BLOCK>(z, a, weight, unit, k * CHANNELS + kk * 16);
        }
    }
    NO_UNROLL for (int column = 0; column < DRIVE; column += 16) {
        if (column)
            UNROLL for (int i = 0; i < COUNT; i++) load_drive(drive[i], inputs.drive, span, tiles[i], column);
        multiply_rows<COUNT, BLOCK>(z, drive, weight, unit, DIRECTIONS * CHANNELS + column);
    }
}

// out [16, OUTPUTS] = bias + weight act(z), the update and with it the gate, before its sigmoid.
template <int COUNT, int BLOCK, class Window>
DEVICE void network(float (&out)[COUNT][OUTPUTS / 8][4], const int (&tiles)[COUNT], const Window& window,
                    const Rows<CHANNELS>& state, const Weights& weights, const Inputs& inputs, const Span& span) {
    UNROLL for (int i = 0; i < COUNT; i++)
        UNROLL for (int n = 0; n < OUTPUTS / 8; n++)
            UNROLL for (int r = 0; r < 4; r++) out[i][n][r] = weights.bias[n * 8 + fragment_column() + (r & 1)];
    NO_UNROLL for (int unit = 0; unit < HIDDEN; unit += BLOCK) {
        float z[COUNT][BLOCK / 8][4];
        hidden_layer<COUNT, BLOCK>(z, tiles, window, state, weights.input, inputs, span, unit);
        UNROLL for (int kk = 0; kk < BLOCK / 16; kk++) {
            unsigned h[COUNT][4];
            UNROLL for (int i = 0; i < COUNT; i++) {
                UNROLL for (int n = 2 * kk; n < 2 * kk + 2; n++)
                    UNROLL for (int r = 0; r < 4; r++) z[i][n][r] = activate(z[i][n][r]).value;
                as_factor(h[i], z[i], kk);
            }
            multiply_rows<COUNT, OUTPUTS>(out, h, weights.output, 0, unit + kk * 16);
        }
    }
}
