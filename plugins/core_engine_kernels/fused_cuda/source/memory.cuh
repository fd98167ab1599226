// Where things lie in shared memory.
#pragma once

#include "config.cuh"
#include "intrinsics.cuh"

DEVICE int lane_index() { return thread_index() & 31; }
// Fragments of the matrix instruction: this lane's first row, and its first column of eight.
DEVICE int fragment_row() { return lane_index() >> 2; }
DEVICE int fragment_column() { return (lane_index() & 3) * 2; }

DEVICE unsigned load_pair(const Bf16* from) { return *reinterpret_cast<const unsigned*>(from); }
DEVICE void store_pair(Bf16* to, unsigned pair) { *reinterpret_cast<unsigned*>(to) = pair; }
DEVICE Vector16 load_vector(const void* from) { return *static_cast<const Vector16*>(from); }
DEVICE void store_vector(void* to, const Vector16& vector) { *static_cast<Vector16*>(to) = vector; }
DEVICE Float2 load_floats(const float* from) { return *reinterpret_cast<const Float2*>(from); }
DEVICE void store_floats(float* to, float x, float y) { *reinterpret_cast<Float2*>(to) = Float2{x, y}; }

// Two neighbouring values of an array of float32 or bf16.
DEVICE Float2 load_values(const void* from, bool wide, long long index) {
    if (wide) return load_floats(static_cast<const float*>(from) + index);
    unsigned pair = load_pair(static_cast<const Bf16*>(from) + index);
    return {low_float(pair), high_float(pair)};
}

DEVICE void store_values(void* to, bool wide, long long index, float x, float y) {
    if (wide)
        store_floats(static_cast<float*>(to) + index, x, y);
    else
        store_pair(static_cast<Bf16*>(to) + index, pack(x, y));
}

// A matrix of 16-bit values, WIDTH a row. Eight rows in turn are read at one column, 16 bytes each, and must come from
// different banks: 16-byte chunks of rows as wide as a power of two are swapped by row, other rows are padded.
template <int WIDTH>
struct Rows {
    static constexpr int CHUNKS = WIDTH / 8;
    static constexpr bool SWAPPED = (WIDTH & (WIDTH - 1)) == 0;
    static constexpr int PITCH = SWAPPED ? WIDTH : WIDTH + 8;

    Bf16* base;

    DEVICE static int bytes(int rows) { return rows * PITCH * 2; }

    DEVICE static int swap(int row) {
        if (!SWAPPED) return 0;
        return CHUNKS == 2 ? (row >> 2) & 1 : CHUNKS == 4 ? (row >> 1) & 3 : row & 7;
    }

    DEVICE Bf16* chunk(int row, int chunk) const { return base + row * PITCH + (chunk ^ swap(row)) * 8; }

    DEVICE Bf16* pair(int row, int column) const { return chunk(row, column >> 3) + (column & 7); }
};

// Hands out shared memory in pieces that start at multiples of 128 bytes, all banks' width.
struct Allocator {
    unsigned char* memory;
    int used = 0;

    DEVICE explicit Allocator(unsigned char* start) : memory(start) {}

    DEVICE unsigned char* take(int bytes) {
        unsigned char* piece = memory + used;
        used += (bytes + 127) / 128 * 128;
        note_shared_bytes(used);
        return piece;
    }

    template <int WIDTH>
    DEVICE Rows<WIDTH> rows(int count) {
        return Rows<WIDTH>{reinterpret_cast<Bf16*>(take(Rows<WIDTH>::bytes(count)))};
    }
};

// The weights in bf16, as the matrix instructions read them: input [HIDDEN, INPUTS], output [OUTPUTS, HIDDEN].
struct Weights {
    Rows<INPUTS> input;
    Rows<HIDDEN> output;
    float* bias;

    DEVICE explicit Weights(Allocator& allocator)
        : input(allocator.rows<INPUTS>(HIDDEN)),
          output(allocator.rows<HIDDEN>(OUTPUTS)),
          bias(reinterpret_cast<float*>(allocator.take(OUTPUTS * 4))) {}

    // A barrier must follow.
    DEVICE void load(const Bf16* from_input, const Bf16* from_output, const float* from_bias) {
        copy(input, from_input, HIDDEN);
        copy(output, from_output, OUTPUTS);
        for (int i = thread_index(); i < OUTPUTS; i += THREADS) bias[i] = from_bias[i];
    }

    template <int WIDTH>
    DEVICE static void copy(const Rows<WIDTH>& to, const Bf16* from, int rows) {
        for (int i = thread_index(); i < rows * (WIDTH / 8); i += THREADS)
            store_vector(to.chunk(i / (WIDTH / 8), i % (WIDTH / 8)), load_vector(from + i * 8));
    }
};
