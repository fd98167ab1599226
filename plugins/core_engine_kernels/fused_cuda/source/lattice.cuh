// Cells, their neighbours, and where a block finds them.
#pragma once

#include "memory.cuh"

struct Lattice {
    int x, y, z;
    int periodic;

    DEVICE int cells() const { return x * y * z; }

    // Bit k: the neighbour in direction k lies beyond a face.
    DEVICE unsigned faces(int cell) const {
        int at_z = cell % z, rest = cell / z, at_y = rest % y, at_x = rest / y;
        return (at_x == 0) << 1 | (at_x == x - 1) << 2 | (at_y == 0) << 3 | (at_y == y - 1) << 4 | (at_z == 0) << 5 |
               (at_z == z - 1) << 6;
    }

    // From a cell's number to that of its neighbour in direction k; with `across`, through the face to the other side.
    DEVICE int displacement(int k, bool across) const {
        if (k == 0) return 0;
        int stride = k < 3 ? y * z : k < 5 ? z : 1;
        int length = k < 3 ? x : k < 5 ? y : z;
        int step = across ? stride * (1 - length) : stride;
        return k & 1 ? -step : step;
    }
};

DEVICE int opposite(int k) { return k == 0 ? 0 : ((k - 1) ^ 1) + 1; }

// Consecutive cells of one or more samples that a block treats: row i of the block is cell `first + i` of all samples'
// cells, and cell `(origin + i) % cells` of its lattice. Rows from `valid` on are padding.
struct Span {
    long long first;
    int valid;
    int origin;
    int cells;

    DEVICE int cell(int row) const { return (origin + row) % cells; }
};

// Rows of a block that holds whole lattices: `rows` of them, a multiple of 16, and then one of zeros, which stands for
// all that lies outside.
struct Resident {
    Lattice lattice;
    unsigned char* faces;
    int rows;

    struct Cell {
        int row;
        unsigned faces;
    };

    // The first `used` rows are cells, sample by sample. A barrier must follow.
    DEVICE void prepare(int used) {
        int cells = lattice.cells();
        for (int i = thread_index(); i < rows; i += THREADS) faces[i] = i < used ? lattice.faces(i % cells) : PADDING;
    }

    DEVICE Cell cell(int row) const { return {row, row < rows ? faces[row] : PADDING}; }

    DEVICE int neighbour(const Cell& cell, int k) const {
        bool beyond = cell.faces >> k & 1;
        if (beyond && (!lattice.periodic || cell.faces & 1)) return rows;
        return cell.row + lattice.displacement(k, beyond);
    }

    static constexpr unsigned char PADDING = 0x7f;
};

// Rows of a block that has gathered, for each of the seven directions in turn, the neighbours of CHUNK cells.
struct Gathered {
    DEVICE int cell(int row) const { return row; }
    DEVICE int neighbour(int row, int k) const { return k * CHUNK + row; }
};

// Copies the neighbours in direction k of CHUNK cells from `origin` on, WIDTH values each, from `sample [cells, WIDTH]`
// to the rows from `to_row` on; zeros for what lies outside. A barrier must follow.
template <int WIDTH>
DEVICE void gather(const Rows<WIDTH>& to, int to_row, const Bf16* sample, const Lattice& lattice, int origin, int k) {
    int cells = lattice.cells();
    for (int i = thread_index(); i < CHUNK * (WIDTH / 8); i += THREADS) {
        int row = i / (WIDTH / 8), chunk = i % (WIDTH / 8), cell = origin + row;
        Vector16 values = {};
        if (cell < cells) {
            bool beyond = lattice.faces(cell) >> k & 1;
            if (!beyond || lattice.periodic) {
                long long neighbour = cell + lattice.displacement(k, beyond);
                values = load_vector(sample + neighbour * WIDTH + chunk * 8);
            }
        }
        store_vector(to.chunk(to_row + row, chunk), values);
    }
}
