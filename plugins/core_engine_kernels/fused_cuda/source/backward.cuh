// Backward: the parts that both regimes share. A step goes back in two sweeps. The first recomputes the hidden layer of
// each cell from the states and leaves dz, the gradient of what enters the activation; the second sums, for each cell,
// what the neighbours' dz send back to its state.
#pragma once

#include "functions.cuh"
#include "network.cuh"

// What the first sweep leaves of CHUNK cells for the sums over cells, in bf16.
struct Chunk {
    Rows<HIDDEN> hidden;      // act(z)
    Rows<OUTPUTS> update;     // gradient of the update, then of the gate
    Rows<DRIVE> drive;

    DEVICE explicit Chunk(Allocator& allocator)
        : hidden(allocator.rows<HIDDEN>(CHUNK)),
          update(allocator.rows<OUTPUTS>(CHUNK)),
          drive(allocator.rows<DRIVE>(CHUNK)) {}
};

// Sums of the output biases' gradient, one for each of the lane's columns; its rows and all warps are added at the end.
struct BiasGradient {
    float sums[OUTPUTS / 8][2];

    DEVICE BiasGradient() {
        UNROLL for (int n = 0; n < OUTPUTS / 8; n++) sums[n][0] = sums[n][1] = 0.0f;
    }

    // partial: [blocks, WARPS * 8, OUTPUTS].
    DEVICE void store(float* partial) const {
        float* to = partial + (static_cast<long long>(block_index()) * WARPS * 8 + thread_index() / 4) * OUTPUTS;
        UNROLL for (int n = 0; n < OUTPUTS / 8; n++)
            UNROLL for (int r = 0; r < 2; r++) to[n * 8 + fragment_column() + r] += sums[n][r];
    }
};

// Sums of the weights' gradient that the warp owns.
struct WeightGradient {
    float sums[OWNED][UNIT / 16][2][4];

    DEVICE static int first_unit() { return thread_index() / 32 % UNIT_ROWS * UNIT; }
    DEVICE static int column(int owned) { return thread_index() / 32 / UNIT_ROWS + owned * OWNERS; }

    DEVICE WeightGradient() {
        UNROLL for (int j = 0; j < OWNED; j++)
            UNROLL for (int m = 0; m < UNIT / 16; m++) {
                UNROLL for (int r = 0; r < 4; r++) sums[j][m][0][r] = sums[j][m][1][r] = 0.0f;
            }
    }

    // Adds 16 cells: dz^T [states, drive] and hidden^T update. They are rows `row` ... of `chunk`, `dz_row` ... of
    // `dz`, `tile` ... of `window`.
    template <class Window>
    DEVICE void add(const Chunk& chunk, int row, const Rows<HIDDEN>& dz, int dz_row, const Window& window, int tile,
                    const Rows<CHANNELS>& state) {
        // Both factors have cells for rows in memory, so both are loaded transposed.
        int factor_row = (lane_index() & 7) + (lane_index() >> 4) * 8, factor_chunk = (lane_index() >> 3) & 1;
        unsigned b[OWNED][4];
        UNROLL for (int j = 0; j < OWNED; j++) {
            int column = this->column(j);
            if (column < STATE_COLUMNS) {
                int k = column * 16 / CHANNELS, from = column * 16 % CHANNELS;
                int neighbour = window.neighbour(window.cell(tile + lane_row()), k);
                load_matrices_transposed(b[j], state.chunk(neighbour, from / 8 + lane_chunk()));
            } else if (column < INPUT_COLUMNS) {
                int from = (column - STATE_COLUMNS) * 2;
                load_matrices_transposed(b[j], chunk.drive.chunk(row + lane_row(), from + lane_chunk()));
            } else if (column < ALL_COLUMNS) {
                int from = (column - INPUT_COLUMNS) * 2;
                load_matrices_transposed(b[j], chunk.update.chunk(row + lane_row(), from + lane_chunk()));
            }
        }
        UNROLL for (int m = 0; m < UNIT / 16; m++) {
            unsigned by_dz[4];
            int part = first_unit() / 8 + 2 * m + factor_chunk;
            if (column(0) < INPUT_COLUMNS) load_matrices_transposed(by_dz, dz.chunk(dz_row + factor_row, part));
            UNROLL for (int j = 0; j < OWNED; j++) {
                int column = this->column(j);
                if (column < INPUT_COLUMNS) {
                    multiply(sums[j][m][0], by_dz, b[j][0], b[j][1]);
                    multiply(sums[j][m][1], by_dz, b[j][2], b[j][3]);
                } else if (column < ALL_COLUMNS) {
                    unsigned by_hidden[4];
                    load_matrices_transposed(by_hidden, chunk.hidden.chunk(row + factor_row, part));
                    multiply(sums[j][m][0], by_hidden, b[j][0], b[j][1]);
                    multiply(sums[j][m][1], by_hidden, b[j][2], b[j][3]);
                }
            }
        }
    }

    // partial: [blocks, HIDDEN, INPUTS + OUTPUTS].
    DEVICE void store(float* partial) const {
        float* to = partial + static_cast<long long>(block_index()) * HIDDEN * (INPUTS + OUTPUTS);
        UNROLL for (int j = 0; j < OWNED; j++) {
            int first = column(j) * 16;
            if (first >= ALL_COLUMNS * 16) continue;
            UNROLL for (int m = 0; m < UNIT / 16; m++)
                UNROLL for (int n = 0; n < 2; n++)
                    UNROLL for (int r = 0; r < 4; r++) {
                        int unit = first_unit() + m * 16 + fragment_row() + (r >> 1) * 8;
                        int at = unit * (INPUTS + OUTPUTS) + first + n * 8 + fragment_column() + (r & 1);
                        to[at] += sums[j][m][n][r];
                    }
        }
    }
};

// The first sweep for one tile of the warp: rows `row` ... of `chunk`, `dz_row` ... of `dz`, `tile` ... of `window` and
// `span`. gradient: float32 [all cells, CHANNELS] of the state after the step. position_gradient: float32
// [rows of the span, HIDDEN] in the order of POSITION_BLOCK, or null.
template <class Window>
DEVICE void first_sweep(const Chunk& chunk, int row, const Rows<HIDDEN>& dz, int dz_row, const Window& window, int tile,
                        const Rows<CHANNELS>& state, const Weights& weights, const Inputs& inputs, const Span& span,
                        const float* gradient, float* position_gradient, BiasGradient& bias) {
    int tiles[1] = {tile};
    float update[1][OUTPUTS / 8][4];
    if (GATED) network<1, BACKWARD_BLOCK>(update, tiles, window, state, weights, inputs, span);
    UNROLL for (int half = 0; half < 2; half++) {
        int at = tile + fragment_row() + 8 * half;
        const float* from = gradient + (span.first + at) * CHANNELS + fragment_column();
        UNROLL for (int n = 0; n < CHANNELS / 8; n++) {
            Float2 pair = {0.0f, 0.0f};
            if (at < span.valid) pair = load_floats(from + n * 8);
            UNROLL for (int r = 0; r < 2; r++) {
                float incoming = r ? pair.y : pair.x;
                float& first = update[0][n][2 * half + r];
                if (GATED) {
                    float& second = update[0][n + OUTPUTS / 8 - CHANNELS / 8][2 * half + r];
                    float gate = sigmoid(second);
                    second = incoming * first * gate * (1.0f - gate);
                    first = incoming * gate;
                } else {
                    first = incoming;
                }
            }
        }
    }
    unsigned factor[OUTPUTS / 16][1][4];
    UNROLL for (int n = 0; n < OUTPUTS / 8; n++) {
        UNROLL for (int r = 0; r < 2; r++) bias.sums[n][r] += update[0][n][r] + update[0][n][r + 2];
        UNROLL for (int half = 0; half < 2; half++)
            store_pair(chunk.update.pair(row + fragment_row() + 8 * half, n * 8 + fragment_column()),
                       pack(update[0][n][2 * half], update[0][n][2 * half + 1]));
    }
    UNROLL for (int kk = 0; kk < OUTPUTS / 16; kk++) as_factor(factor[kk][0], update[0], kk);
    for (int i = lane_index(); i < TILE * (DRIVE / 8); i += 32) {
        int at = i / (DRIVE / 8), part = i % (DRIVE / 8);
        Vector16 values = {};
        if (tile + at < span.valid) values = load_vector(inputs.drive + (span.first + tile + at) * DRIVE + part * 8);
        store_vector(chunk.drive.chunk(row + at, part), values);
    }

    NO_UNROLL for (int unit = 0; unit < HIDDEN; unit += BACKWARD_BLOCK) {
        float z[1][BACKWARD_BLOCK / 8][4], back[1][BACKWARD_BLOCK / 8][4];
        hidden_layer<1, BACKWARD_BLOCK>(z, tiles, window, state, weights.input, inputs, span, unit);
        clear(back);
        UNROLL for (int kk = 0; kk < OUTPUTS / 16; kk++)
            multiply_columns<1, BACKWARD_BLOCK>(back, factor[kk], weights.output, kk * 16, unit);
        UNROLL for (int n = 0; n < BACKWARD_BLOCK / 8; n++)
            UNROLL for (int half = 0; half < 2; half++) {
                Activated x = activate(z[0][n][2 * half]), y = activate(z[0][n][2 * half + 1]);
                float &back_x = back[0][n][2 * half], &back_y = back[0][n][2 * half + 1];
                back_x *= x.derivative;
                back_y *= y.derivative;
                int at = fragment_row() + 8 * half, column = unit + n * 8 + fragment_column();
                store_pair(chunk.hidden.pair(row + at, column), pack(x.value, y.value));
                store_pair(dz.pair(dz_row + at, column), pack(back_x, back_y));
            }
        if (position_gradient == nullptr) continue;
        UNROLL for (int half = 0; half < 2; half++) {
            int at = tile + fragment_row() + 8 * half;
            if (at >= span.valid) continue;
            float* to = position_gradient + static_cast<long long>(at) * HIDDEN + unit + (lane_index() & 3) * 8;
            UNROLL for (int n = 0; n < BACKWARD_BLOCK / 8; n++) {
                float* pair = to + n / 4 * POSITION_BLOCK + n % 4 * 2;
                Float2 sum = load_floats(pair);
                store_floats(pair, sum.x + back[0][n][2 * half], sum.y + back[0][n][2 * half + 1]);
            }
        }
    }
}

// sums [16, WIDTH] += dz weight[:, column ... column + WIDTH]; `rows`: the lane's row of dz for each tile.
template <int COUNT, int WIDTH>
DEVICE void send_back(float (&sums)[COUNT][WIDTH / 8][4], const int (&rows)[COUNT], const Rows<HIDDEN>& dz,
                      const Rows<INPUTS>& weight, int column) {
    UNROLL for (int kk = 0; kk < HIDDEN / 16; kk++) {
        unsigned a[COUNT][4];
        UNROLL for (int i = 0; i < COUNT; i++) load_matrices(a[i], dz.chunk(rows[i], 2 * kk + lane_chunk()));
        multiply_columns<COUNT, WIDTH>(sums, a, weight, kk * 16, column);
    }
}

// to [all cells, WIDTH][:, column ...] += the sums of a tile, in float32.
template <int COLUMNS, int WIDTH>
DEVICE void add_to(float* to, const float (&sums)[COLUMNS / 8][4], const Span& span, int tile, int column) {
    UNROLL for (int half = 0; half < 2; half++) {
        int row = tile + fragment_row() + 8 * half;
        if (row >= span.valid) continue;
        float* at = to + (span.first + row) * WIDTH + column + fragment_column();
        UNROLL for (int n = 0; n < COLUMNS / 8; n++) {
            Float2 pair = load_floats(at + n * 8);
            store_floats(at + n * 8, pair.x + sums[n][2 * half], pair.y + sums[n][2 * half + 1]);
        }
    }
}

// drive_gradient [all cells, DRIVE] += dz weight, for tiles whose own dz lie in `rows`.
template <int COUNT>
DEVICE void send_back_drive(float* drive_gradient, const int (&rows)[COUNT], const int (&tiles)[COUNT],
                            const Rows<HIDDEN>& dz, const Rows<INPUTS>& weight, const Span& span) {
    NO_UNROLL for (int column = 0; column < DRIVE; column += 16) {
        float sums[COUNT][2][4];
        clear(sums);
        send_back<COUNT, 16>(sums, rows, dz, weight, DIRECTIONS * CHANNELS + column);
        UNROLL for (int i = 0; i < COUNT; i++) add_to<16, DRIVE>(drive_gradient, sums[i], span, tiles[i], column);
    }
}
