// Everything that only a GPU has. tests/plugins/kernels/fused_cuda/emulator.h defines the same names for a CPU.
#pragma once

#define DEVICE __device__ __forceinline__
#define KERNEL(name) extern "C" __global__ void __launch_bounds__(THREADS) name
#define UNROLL _Pragma("unroll")
#define NO_UNROLL _Pragma("unroll 1")

struct Bf16 {
    unsigned short bits;
};

struct __align__(16) Vector16 {
    unsigned words[4];
};

struct __align__(8) Float2 {
    float x, y;
};

DEVICE int thread_index() { return threadIdx.x; }
DEVICE int block_index() { return blockIdx.x; }
DEVICE int block_count() { return gridDim.x; }
DEVICE void barrier() { __syncthreads(); }
// For the emulator, which compares it with what the launch asked for.
DEVICE void note_shared_bytes(int) {}

DEVICE unsigned char* shared_memory() {
    extern __shared__ __align__(128) unsigned char memory[];
    return memory;
}

DEVICE float low_float(unsigned pair) { return __uint_as_float(pair << 16); }
DEVICE float high_float(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }

// Two values rounded to nearest even; the first is the lower half.
DEVICE unsigned pack(float low, float high) {
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

// 2^x and 1/x to about 2^-22: far below the rounding to bf16 that follows.
DEVICE float fast_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

DEVICE float fast_reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

DEVICE void sine_cosine_of_turns(float turns, float* sine, float* cosine) { sincospif(2.0f * turns, sine, cosine); }

// Four 8 x 8 matrices of 16-bit values from shared memory; lane l gives the address of row l % 8 of matrix l / 8.
// Lane l receives of each the values (l / 4, 2 (l % 4)) and the next in the row.
DEVICE void load_matrices(unsigned (&out)[4], const Bf16* row) {
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
}

// The same, transposed: lane l receives of each the values (2 (l % 4), l / 4) and the next in the column.
DEVICE void load_matrices_transposed(unsigned (&out)[4], const Bf16* row) {
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
}

// sum [16, 8] += a [16, 16] b [16, 8]. With g = lane / 4 and q = 2 (lane % 4), a lane holds
// sum: (g, q), (g, q + 1), (g + 8, q), (g + 8, q + 1);
// a, in pairs (q, q + 1) of columns: (g, q), (g + 8, q), (g, q + 8), (g + 8, q + 8);
// b, in pairs (q, q + 1) of rows: (q, g), (q + 8, g).
DEVICE void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
