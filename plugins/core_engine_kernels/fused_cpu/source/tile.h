// The two small matrix products that everything is made of. A tile of the result stays in registers.
#pragma once
#include "simd.h"

namespace ISA {

constexpr long NO_DISPLACEMENT[] = {0};

// out[c] = base[c] + bias + a[c] weights for some cells: what is the same for all tiles. Strides are in floats.
struct Product {
    // Cells of a are `a_cell` apart; of each, `length` values are read at each of `segments` displacements.
    long a_cell;
    const long* displacement;
    int segments, length;
    long weights_row;  // one row of weights for each value read
    const float* bias;  // of the columns; or null
    long base_cell;
    // Cell c, vector column j of the result is at out + c * out_cell + column[j].
    long out_cell;
    const long* column;
    // After a, `more_length` values of each cell of a second matrix, whose cells are `more_cell` apart.
    long more_cell = 0;
    int more_length = 0;
};

// N cells and NV vectors of columns. base may be null. With ADD the target is added to instead of being written: one
// cell after the other, since cells of a tile may have neighbours in common.
template <class V, int NV, int N, bool ADD>
static void product_tile(const Product& s, int first, const float* a, const float* more, const float* weights,
                         const float* base, float* out) {
    V sum[N][NV];
    weights += first * lanes<V>;
#pragma GCC unroll 16
    for (int c = 0; c < N; c++)
#pragma GCC unroll 4
        for (int j = 0; j < NV; j++) {
            sum[c][j] = s.bias ? load<V>(s.bias + (first + j) * lanes<V>) : V{};
            if (base) sum[c][j] += load<V>(base + c * s.base_cell + (first + j) * lanes<V>);
        }
    const long row = s.weights_row;
    auto accumulate = [&](const float* p, long cell, int length) __attribute__((always_inline)) {
        for (const float* end = p + length; p != end; p++, weights += row) {
            V w[NV];
#pragma GCC unroll 4
            for (int j = 0; j < NV; j++) w[j] = load<V>(weights + j * lanes<V>);
            // Groups of three: p, p + cell and p + 2 cell are one address each on x86.
            const float* q = p;
#pragma GCC unroll 16
            for (int c = 0; c < N; c++) {
                V value = all<V>(q[(c % 3) * cell]);
#pragma GCC unroll 4
                for (int j = 0; j < NV; j++) sum[c][j] += value * w[j];
                if (c % 3 == 2) q += 3 * cell;
            }
        }
    };
    for (int d = 0; d < s.segments; d++) accumulate(a + s.displacement[d], s.a_cell, s.length);
    if (s.more_length) accumulate(more, s.more_cell, s.more_length);
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++)
#pragma GCC unroll 16
        for (int c = 0; c < N; c++) {
            float* p = out + c * s.out_cell + s.column[first + j];
            store(p, ADD ? load<V>(p) + sum[c][j] : sum[c][j]);
        }
}

template <class V, int NV, bool ADD, int N = MAX_CELLS[NV]>
static void product_cells(int cells, const Product& s, int first, const float* a, const float* more,
                          const float* weights, const float* base, float* out) {
    if (cells == N)
        product_tile<V, NV, N, ADD>(s, first, a, more, weights, base, out);
    else if constexpr (N > 1)
        product_cells<V, NV, ADD, N - 1>(cells, s, first, a, more, weights, base, out);
}

// NV vectors of columns of any number of cells, in tiles as equal in height as can be.
template <class V, int NV, bool ADD>
static void product_columns(int cells, const Product& s, int first, const float* a, const float* more,
                            const float* weights, const float* base, float* out) {
    constexpr int most = MAX_CELLS[NV];
    const int tiles = (cells + most - 1) / most, low = cells / tiles, higher = cells - low * tiles;
    for (int tile = 0; tile < tiles; tile++) {
        const int some = tile < higher ? low + 1 : low;
        product_cells<V, NV, ADD>(some, s, first, a, more, weights, base, out);
        a += some * s.a_cell;
        more += some * s.more_cell;
        out += some * s.out_cell;
        if (base) base += some * s.base_cell;
    }
}

// Any number of cells and of vectors of columns. more: the second matrix, where s has one.
template <class V, bool ADD = false>
static void product(int cells, int vectors, const Product& s, const float* a, const float* weights, const float* base,
                    float* out, const float* more = nullptr) {
    int j = 0;
    for (; j + MAX_VECTORS <= vectors; j += MAX_VECTORS)
        product_columns<V, MAX_VECTORS, ADD>(cells, s, j, a, more, weights, base, out);
    if constexpr (MAX_VECTORS == 4) {
        if (vectors - j == 3) return product_columns<V, 3, ADD>(cells, s, j, a, more, weights, base, out);
        if (vectors - j == 2) return product_columns<V, 2, ADD>(cells, s, j, a, more, weights, base, out);
    }
    if (vectors - j == 1) product_columns<V, 1, ADD>(cells, s, j, a, more, weights, base, out);
}

// Cells of several rows of the lattice: rows `line` floats apart, cells `cell` floats apart.
struct Lines {
    const float* values;
    long line, cell;
};

// out[r] += sum over cells of a[cell][r] b[cell], for R rows and NV vectors of columns.
template <class V, int NV, int R>
static void outer_tile(int rows, int cells, Lines a, Lines b, float* out, long out_row) {
    V sum[R][NV];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int j = 0; j < NV; j++) sum[r][j] = load<V>(out + r * out_row + j * lanes<V>);
    for (int line = 0; line < rows; line++) {
        const float *p = a.values + line * a.line, *q = b.values + line * b.line;
        for (int c = 0; c < cells; c++, p += a.cell, q += b.cell) {
            V w[NV];
#pragma GCC unroll 4
            for (int j = 0; j < NV; j++) w[j] = load<V>(q + j * lanes<V>);
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                V value = all<V>(p[r]);
#pragma GCC unroll 4
                for (int j = 0; j < NV; j++) sum[r][j] += value * w[j];
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int j = 0; j < NV; j++) store(out + r * out_row + j * lanes<V>, sum[r][j]);
}

template <int NV>
static void outer_columns(int count, int rows, int cells, Lines a, Lines b, float* out, long out_row) {
    int r = 0;
    for (; r + 4 <= count; r += 4, a.values += 4)
        outer_tile<Wide, NV, 4>(rows, cells, a, b, out + r * out_row, out_row);
    for (; r < count; r++, a.values++) outer_tile<Wide, NV, 1>(rows, cells, a, b, out + r * out_row, out_row);
}

// out [count, columns] += a^T b over the cells; columns is a multiple of the vector width.
static void outer(int count, int columns, int rows, int cells, Lines a, Lines b, float* out) {
    constexpr int widest = MAX_VECTORS * lanes<Wide>, single = lanes<Wide>;
    int j = 0;
    for (; j + widest <= columns; j += widest)
        outer_columns<MAX_VECTORS>(count, rows, cells, a, Lines{b.values + j, b.line, b.cell}, out + j, columns);
    for (; j < columns; j += single)
        outer_columns<1>(count, rows, cells, a, Lines{b.values + j, b.line, b.cell}, out + j, columns);
}

}  // namespace ISA
