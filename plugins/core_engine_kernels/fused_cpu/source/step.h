// One step of the cells in some planes of the lattice, forward and backward. core_engine_kernels/stencil/cell.py states
// the equations, core_engine_kernels/stencil/rollout.py computes them in plain PyTorch.
#pragma once
#include "activation.h"
#include "lattice.h"
#include "memory.h"
#include "tile.h"

namespace ISA {

// Rows of a block together have about this many cells: enough to load and store a tile of weight gradients seldom, and
// few enough that hidden layer and its gradient stay in the first-level cache's neighbourhood.
constexpr int BLOCK_CELLS = 96;

// A drive of at most so many channels is read in every step. With a wider one it costs less to compute its part of the
// hidden layer once, and to read that.
constexpr int NARROW_DRIVE = 4;

// What the hidden layer is given in every step beside the states, for one sample: a narrow drive [N, E]; the part of a
// wide one is in `base` [N, H] already. `base` may be null.
struct Constant {
    const float *drive, *base;
};

// What is the same for all samples and steps.
struct Cell {
    const Case& k;
    Lattice g;
    Neighbours near;
    Weights w;
    int H, C, U, inputs;
    long hidden_column[MAX_HIDDEN / lanes<V4>];
    long update_column[2 * MAX_CHANNELS / lanes<V4>];
    long drive_column[MAX_DRIVE / lanes<V4>];
    long scatter_column[27 * MAX_CHANNELS / lanes<V4>];  // where the gradient for each vector of the cell's inputs goes

    Product from_state, from_both, residual, gated, to_hidden, scatter, from_drive, to_drive;

    Cell(const Case& k, Arena& arena)
        : k(k), g(k, k.channels), near(k, g), w(k, near.count * k.channels, arena),
          H(k.hidden), C(k.channels), U(w.updates), inputs(near.count * k.channels) {
        for (int j = 0; j < H / lanes<Wide>; j++) hidden_column[j] = j * lanes<Wide>;
        for (int j = 0; j < w.drive_padded / lanes<Wide>; j++) drive_column[j] = j * lanes<Wide>;
        int width = C % lanes<Wide> == 0 ? lanes<Wide> : C;
        for (int j = 0; j < U / width; j++) update_column[j] = j * width;
        for (int j = 0; j < inputs / width; j++)
            scatter_column[j] = near.displacement[j * width / C] + j * width % C;
        const int E = w.drive, padded = w.drive_padded;
        from_state = Product{C, near.displacement, near.count, C, H, nullptr, H, H, hidden_column};
        from_both = from_state;
        from_both.bias = w.hidden_bias;
        from_both.more_cell = E;
        from_both.more_length = E;
        residual = Product{H, NO_DISPLACEMENT, 1, H, U, w.update_bias, C, C, update_column};
        gated = Product{H, NO_DISPLACEMENT, 1, H, U, w.update_bias, 0, U, update_column};
        to_hidden = Product{U, NO_DISPLACEMENT, 1, U, H, nullptr, 0, H, hidden_column};
        scatter = Product{H, NO_DISPLACEMENT, 1, H, inputs, nullptr, 0, C, scatter_column};
        from_drive = Product{E, NO_DISPLACEMENT, 1, E, H, w.hidden_bias, H, H, hidden_column};
        to_drive = Product{H, NO_DISPLACEMENT, 1, H, padded, nullptr, 0, padded, drive_column};
    }
    Cell(const Cell&) = delete;  // the products point into it

    int block_rows() const { return larger(1, smaller(g.y, BLOCK_CELLS / g.z)); }
    int block_cells() const { return block_rows() * g.z; }

    // With columns of C or U values: whole vectors, but for 8 channels in vectors of 16.
    template <bool ADD>
    void product_channels(int cells, int columns, const Product& s, const float* a, const float* weights,
                          const float* base, float* out) const {
        if (C % lanes<Wide> == 0)
            product<Wide, ADD>(cells, columns / lanes<Wide>, s, a, weights, base, out);
        else
            product<V8, ADD>(cells, columns / lanes<V8>, s, a, weights, base, out);
    }

    bool narrow_drive() const { return w.drive <= NARROW_DRIVE; }

    // [z, H], before the activation, of the row of cells that begins at cell n.
    void hidden_layer(const float* state, const Constant& constant, long n, float* hidden) const {
        const float* base = constant.base ? constant.base + n * H : nullptr;
        if (narrow_drive())
            product<Wide>(g.z, H / lanes<Wide>, from_both, state, w.state_in, base, hidden, constant.drive + n * w.drive);
        else
            product<Wide>(g.z, H / lanes<Wide>, from_state, state, w.state_in, base, hidden);
    }

    // The new state [z, C] of one row where there is no gate.
    void residual_update(const float* hidden, const float* state, float* next) const {
        product_channels<false>(g.z, U, residual, hidden, w.update_in, state, next);
    }

    // [z, 2 C]: the update, and the gate's argument beside it.
    void gated_layer(const float* hidden, float* out) const {
        product_channels<false>(g.z, U, gated, hidden, w.update_in, nullptr, out);
    }
};

// Per thread. hidden: [block, H]; the others only in the backward pass or with a gate.
struct Scratch {
    float *hidden, *slope, *row, *update, *d_update;

    Scratch(const Cell& cell, bool backward, Arena& arena) {
        const long cells = backward ? cell.block_cells() : cell.g.z;
        hidden = arena.take(cells * cell.H);
        slope = arena.take(backward ? cells * cell.H : 0);
        row = arena.take(backward ? (long)cell.g.z * larger(cell.H, cell.w.drive_padded) : 0);
        update = arena.take(cell.k.gated ? (long)cell.g.z * cell.U : 0);
        d_update = arena.take(backward && cell.k.gated ? cells * cell.U : 0);
    }
};

INLINE void add_doubles(double* to, const float* from, long count) {
    for (long n = 0; n < count; n++) to[n] += from[n];
}

// Weight gradients of a thread's cells: summed in float over a few hundred cells, then in double, so that the error does
// not grow with the batch. Adding to the doubles after every step would cost small lattices dearly.
struct WeightGradients {
    static constexpr int MOST_CELLS = 768;
    float *state, *update, *update_bias;  // [K C, H], [U, H], [U]
    double* total;                        // as these three
    long floats;
    int cells = 0;

    WeightGradients(const Cell& cell, Arena& arena) {
        floats = (long)cell.inputs * cell.H + (long)cell.U * cell.H + cell.U;
        state = arena.take(floats);
        update = state + (long)cell.inputs * cell.H;
        update_bias = update + (long)cell.U * cell.H;
        total = (double*)arena.take(2 * floats);
    }
    void added(int some) {
        cells += some;
        if (cells >= MOST_CELLS) flush();
    }
    void flush() {
        add_doubles(total, state, floats);
        memset(state, 0, sizeof(float) * floats);
        cells = 0;
    }
};

static void gated_update(const Cell& cell, const float* state, const float* update, float* next) {
    const int C = cell.C;
    for (int c = 0; c < cell.g.z; c++, update += 2 * C)
        for (int n = c * C; n < (c + 1) * C; n += lanes<V4>) {
            V4 gate = sigmoid<V4>(load<V4>(update + C + n - c * C));
            store(next + n, load<V4>(state + n) + gate * load<V4>(update + n - c * C));
        }
}

// d_update [z, 2 C] from the gradient of the new state [z, C].
static void gated_update_backward(const Cell& cell, const float* update, const float* grad, float* d_update) {
    const int C = cell.C;
    for (int c = 0; c < cell.g.z; c++, update += 2 * C, d_update += 2 * C, grad += C)
        for (int n = 0; n < C; n += lanes<V4>) {
            V4 g = load<V4>(grad + n), gate = sigmoid<V4>(load<V4>(update + C + n));
            store(d_update + n, g * gate);
            store(d_update + C + n, g * load<V4>(update + n) * (gate - gate * gate));
        }
}

static void step(const Cell& cell, int first, int last, const float* state, const Constant& constant, Scratch& scratch,
                 float* next) {
    const Lattice& g = cell.g;
    for (int i = first; i < last; i++)
        for (int j = 0; j < g.y; j++) {
            const float* here = state + g.at(i, j);
            float* there = next + g.at(i, j);
            cell.hidden_layer(here, constant, ((long)i * g.y + j) * g.z, scratch.hidden);
            activate(cell.k.activation, scratch.hidden, g.z * cell.H);
            if (cell.k.gated) {
                cell.gated_layer(scratch.hidden, scratch.update);
                gated_update(cell, here, scratch.update, there);
            } else {
                cell.residual_update(scratch.hidden, here, there);
            }
        }
}

// state, grad and d_state: padded; d_state holds grad on entry and is added to, in the layer around the planes as well.
// d_constant [N, H] and the weight gradients are added to.
static void step_backward(const Cell& cell, int first, int last, const float* state, const Constant& constant,
                          const float* grad, Scratch& scratch, float* d_state, float* d_constant,
                          WeightGradients& sums) {
    const Lattice& g = cell.g;
    const int H = cell.H, C = cell.C, U = cell.U, rows = cell.block_rows();
    const long row_floats = (long)g.z * H;
    for (int i = first; i < last; i++)
        for (int j0 = 0; j0 < g.y; j0 += rows) {
            const int some = smaller(rows, g.y - j0);
            const Lines hidden{scratch.hidden, row_floats, H}, d_hidden{scratch.slope, row_floats, H};
            const Lines d_update = cell.k.gated ? Lines{scratch.d_update, (long)g.z * U, U}
                                                : Lines{grad + g.at(i, j0), g.line, C};
            for (int j = 0; j < some; j++) {
                const long n = ((long)i * g.y + j0 + j) * g.z;
                float* sums_of_row = d_constant + n * H;
                float *h = scratch.hidden + j * row_floats, *slope = scratch.slope + j * row_floats;
                cell.hidden_layer(state + g.at(i, j0 + j), constant, n, h);
                activate(cell.k.activation, h, slope, g.z * H);
                if (cell.k.gated) {
                    cell.gated_layer(h, scratch.update);
                    gated_update_backward(cell, scratch.update, grad + g.at(i, j0 + j),
                                          scratch.d_update + (long)j * g.z * U);
                }
                product<Wide>(g.z, H / lanes<Wide>, cell.to_hidden, d_update.values + j * d_update.line,
                              cell.w.update_out, nullptr, scratch.row);
                for (long m = 0; m < row_floats; m += lanes<Wide>) {
                    Wide d = load<Wide>(slope + m) * load<Wide>(scratch.row + m);
                    store(slope + m, d);
                    store(sums_of_row + m, load<Wide>(sums_of_row + m) + d);
                }
            }
            outer(U, H, some, g.z, d_update, hidden, sums.update);
            for (int j = 0; j < some; j++)
                for (int c = 0; c < g.z; c++)
                    add_floats(sums.update_bias, d_update.values + j * d_update.line + c * d_update.cell, U);
            for (int d = 0; d < cell.near.count; d++)
                outer(C, H, some, g.z, Lines{state + g.at(i, j0) + cell.near.displacement[d], g.line, C}, d_hidden,
                      sums.state + (long)d * C * H);
            for (int j = 0; j < some; j++)
                cell.product_channels<true>(g.z, cell.inputs, cell.scatter, scratch.slope + j * row_floats,
                                            cell.w.state_out, nullptr, d_state + g.at(i, j0 + j));
            sums.added(some * g.z);
        }
}

}  // namespace ISA
