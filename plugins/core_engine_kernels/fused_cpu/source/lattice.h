// The lattice with a layer of cells around it, so that every cell has all its neighbours. Cells are stored as
// [x + 2][y + 2][z + 2][width]; the layer is zero, or with a periodic boundary holds copies of the opposite faces.
#pragma once
#include "case.h"
#include "simd.h"

namespace ISA {

struct Lattice {
    int x, y, z, width;
    long line, plane;  // floats from one row of cells, and from one x, to the next

    Lattice(const Case& k, int width) : x(k.x), y(k.y), z(k.z), width(width) {
        line = (long)(z + 2) * width;
        plane = line * (y + 2);
    }
    long floats() const { return plane * (x + 2); }
    long cells() const { return (long)x * y * z; }
    // Of cell (i, j, 0); i and j may be -1, and as large as the lattice.
    long at(int i, int j) const { return (i + 1) * plane + (j + 1) * line + width; }
    // The same without the layer.
    long dense(int i, int j) const { return ((long)i * y + j) * z * width; }
};

// Displacements in floats, in the order of CellSpec.offsets.
struct Neighbours {
    int count;
    long displacement[27];

    Neighbours(const Case& k, const Lattice& g) {
        count = 0;
        auto add = [&](int i, int j, int l) { displacement[count++] = i * g.plane + j * g.line + (long)l * g.width; };
        add(0, 0, 0);
        if (k.neighbours == 6) {
            add(-1, 0, 0), add(1, 0, 0), add(0, -1, 0), add(0, 1, 0), add(0, 0, -1), add(0, 0, 1);
            return;
        }
        for (int i = -1; i <= 1; i++)
            for (int j = -1; j <= 1; j++)
                for (int l = -1; l <= 1; l++)
                    if (i || j || l) add(i, j, l);
    }
};

// Planes [first, last) of the lattice, dense to padded and back.
static void pack(const Lattice& g, int first, int last, const float* dense, float* padded) {
    for (int i = first; i < last; i++)
        for (int j = 0; j < g.y; j++)
            memcpy(padded + g.at(i, j), dense + g.dense(i, j), sizeof(float) * g.z * g.width);
}

static void unpack(const Lattice& g, int first, int last, const float* padded, float* dense) {
    for (int i = first; i < last; i++)
        for (int j = 0; j < g.y; j++)
            memcpy(dense + g.dense(i, j), padded + g.at(i, j), sizeof(float) * g.z * g.width);
}

// Fills the layer around the planes [first, last) from the opposite faces, and the planes of the layer that are copies
// of one of them. Between two such calls for neighbouring planes nothing else needs to be in step.
static void wrap(const Lattice& g, int first, int last, float* padded) {
    const size_t cell = sizeof(float) * g.width;
    for (int i = first; i < last; i++) {
        for (int j = 0; j < g.y; j++) {
            float* row = padded + g.at(i, j);
            memcpy(row - g.width, row + (long)(g.z - 1) * g.width, cell);
            memcpy(row + (long)g.z * g.width, row, cell);
        }
        float* plane = padded + (i + 1) * g.plane;
        memcpy(plane, plane + g.y * g.line, sizeof(float) * g.line);
        memcpy(plane + (g.y + 1) * g.line, plane + g.line, sizeof(float) * g.line);
        if (i == 0) memcpy(padded + (g.x + 1) * g.plane, plane, sizeof(float) * g.plane);
        if (i == g.x - 1) memcpy(padded, plane, sizeof(float) * g.plane);
    }
}

INLINE void add_floats(float* to, const float* from, long count) {
    for (long n = 0; n < count; n++) to[n] += from[n];
}

// The transpose of wrap, along z and y, for one plane of a gradient: what was added to the layer belongs to the
// opposite faces.
static void unwrap(const Lattice& g, float* plane) {
    for (int j = 0; j < g.y + 2; j++) {
        float* row = plane + j * g.line;
        add_floats(row + (long)g.z * g.width, row, g.width);
        add_floats(row + g.width, row + (long)(g.z + 1) * g.width, g.width);
    }
    add_floats(plane + g.y * g.line, plane, g.line);
    add_floats(plane + g.line, plane + (g.y + 1) * g.line, g.line);
}

}  // namespace ISA
