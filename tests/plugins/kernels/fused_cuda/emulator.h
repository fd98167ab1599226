// Stands in for source/intrinsics.cuh: the kernels as C++ for a CPU, one fiber for each thread of a block, blocks in
// turn. Knows nothing of the kernel's constants, so that it can be compiled ahead.
//
// Warps go in order, or, with a seed, adversarially: a random warp runs alone until all of its lanes wait for the
// block's barrier, so that whatever a missing barrier allows to go wrong does. The lanes of a warp meet at every matrix
// instruction. Shared memory is filled with NaN before each block.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#define DEVICE inline
#define KERNEL(name) static void name
#define UNROLL
#define NO_UNROLL

struct Bf16 {
    unsigned short bits;
};

struct alignas(16) Vector16 {
    unsigned words[4];
};

struct alignas(8) Float2 {
    float x, y;
};

namespace emulator {

constexpr int LANES = 32;
constexpr size_t STACK = 1 << 16;
constexpr int GUARD = 1 << 12;      // bytes on either side of shared memory

struct Fiber {
    ucontext_t start;
    jmp_buf resume;
    bool started = false, done = false, at_barrier = false;
    std::unique_ptr<char[]> stack;
};

struct Warp {
    int arrived = 0;
    long meetings = 0;
    const void* rows[LANES];
    unsigned a[LANES][4], b[LANES][2], words[LANES][4];
    float sums[LANES][4];
};

inline std::vector<Fiber> fibers;
inline std::vector<Warp> warps;
inline jmp_buf scheduler, escape;
inline char problem[200];
inline int current, block, blocks, shared_bytes, noted_bytes;
inline unsigned char* shared;
inline void (*body)(void*);
inline void* argument;
inline unsigned long long random_state;

// Ends the launch, from whatever fiber.
[[noreturn]] inline void fail(const char* what) {
    std::snprintf(problem, sizeof problem, "%s (block %d, thread %d)", what, block, current);
    _longjmp(escape, 1);
}

inline unsigned draw(unsigned below) {
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<unsigned>(random_state >> 33) % below;
}

inline void pause() {
    if (!_setjmp(fibers[current].resume)) _longjmp(scheduler, 1);
}

inline void enter() {
    body(argument);
    fibers[current].done = true;
    _longjmp(scheduler, 1);
}

inline void run(int thread) {
    Fiber& fiber = fibers[thread];
    current = thread;
    if (_setjmp(scheduler)) return;
    if (fiber.started) _longjmp(fiber.resume, 1);
    fiber.started = true;
    setcontext(&fiber.start);
}

// Calls `work` once all lanes of the warp have come; then all go on.
template <class Work>
void meet(Work work) {
    Warp& warp = warps[current / LANES];
    long meeting = warp.meetings;
    if (++warp.arrived == LANES) {
        work(warp);
        warp.arrived = 0;
        warp.meetings++;
    } else {
        while (warp.meetings == meeting) pause();
    }
}

// Runs one warp until none of its lanes can go on alone.
inline void run_warp(int index) {
    for (;;) {
        int resting = 0;
        long meetings = warps[index].meetings;
        for (int thread = index * LANES; thread < (index + 1) * LANES; thread++) {
            if (!fibers[thread].done && !fibers[thread].at_barrier) run(thread);
            resting += fibers[thread].done || fibers[thread].at_barrier;
        }
        if (resting == LANES) return;
        if (meetings == warps[index].meetings) fail("some lanes wait for others that never come");
    }
}

inline void run_block(int threads, bool adversarial) {
    int count = threads / LANES;
    warps.assign(count, Warp());
    for (Fiber& fiber : fibers) {
        fiber.started = fiber.done = fiber.at_barrier = false;
        getcontext(&fiber.start);
        fiber.start.uc_stack.ss_sp = fiber.stack.get();
        fiber.start.uc_stack.ss_size = STACK;
        fiber.start.uc_link = nullptr;
        makecontext(&fiber.start, enter, 0);
    }
    for (;;) {
        std::vector<int> order(count);
        for (int i = 0; i < count; i++) order[i] = i;
        if (adversarial)
            for (int i = count - 1; i > 0; i--) std::swap(order[i], order[draw(i + 1)]);
        for (int index : order) run_warp(index);
        int done = 0;
        for (const Fiber& fiber : fibers) done += fiber.done;
        if (done == threads) return;
        if (done) fail("some threads ended while others wait at a barrier");
        for (Fiber& fiber : fibers) fiber.at_barrier = false;
    }
}

// Runs every block. Null, or what went wrong.
inline const char* launch(void (*function)(void*), void* arguments, int grid, int threads, int bytes, unsigned seed) {
    body = function;
    argument = arguments;
    blocks = grid;
    shared_bytes = bytes;
    noted_bytes = 0;
    random_state = seed;
    fibers = std::vector<Fiber>(threads);
    for (Fiber& fiber : fibers) fiber.stack.reset(new char[STACK]);
    static std::vector<unsigned char> memory;
    memory.resize(bytes + 2 * GUARD + 128);
    shared = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(memory.data()) + GUARD + 127) / 128 * 128);
    static std::vector<int> order;
    order.resize(grid);
    for (int i = 0; i < grid; i++) order[i] = i;
    if (seed)
        for (int i = grid - 1; i > 0; i--) std::swap(order[i], order[draw(i + 1)]);
    if (_setjmp(escape)) return problem;
    for (int index : order) {
        block = index;
        std::fill(memory.begin(), memory.end(), 0xff);
        run_block(threads, seed != 0);
        auto untouched = [](unsigned char byte) { return byte == 0xff; };
        if (!std::all_of(memory.data(), shared, untouched) ||
            !std::all_of(shared + bytes, memory.data() + memory.size(), untouched))
            return "something was written beyond shared memory";
    }
    return nullptr;
}

inline float value(unsigned pair, int upper) {
    unsigned bits = upper ? pair & 0xffff0000u : pair << 16;
    float result;
    std::memcpy(&result, &bits, 4);
    return result;
}

inline unsigned rounded(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, 4);
    if (x != x) return 0x7fc0;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

}  // namespace emulator

DEVICE int thread_index() { return emulator::current; }
DEVICE int block_index() { return emulator::block; }
DEVICE int block_count() { return emulator::blocks; }
DEVICE void note_shared_bytes(int bytes) { emulator::noted_bytes = std::max(emulator::noted_bytes, bytes); }
DEVICE unsigned char* shared_memory() { return emulator::shared; }

DEVICE void barrier() {
    emulator::fibers[emulator::current].at_barrier = true;
    emulator::pause();
}

DEVICE float low_float(unsigned pair) { return emulator::value(pair, 0); }
DEVICE float high_float(unsigned pair) { return emulator::value(pair, 1); }
DEVICE unsigned pack(float low, float high) { return emulator::rounded(low) | emulator::rounded(high) << 16; }
DEVICE float fast_exp2(float x) { return std::exp2(x); }
DEVICE float fast_reciprocal(float x) { return 1.0f / x; }

DEVICE void sine_cosine_of_turns(float turns, float* sine, float* cosine) {
    *sine = static_cast<float>(std::sin(2 * M_PI * turns));
    *cosine = static_cast<float>(std::cos(2 * M_PI * turns));
}

template <bool TRANSPOSED>
void load_four(unsigned (&out)[4], const Bf16* row) {
    using namespace emulator;
    const unsigned char* at = reinterpret_cast<const unsigned char*>(row);
    if (at < shared || at + 16 > shared + shared_bytes) fail("a matrix row outside shared memory");
    if (reinterpret_cast<uintptr_t>(at) % 16) fail("a matrix row that is not aligned to 16 bytes");
    int lane = current % LANES;
    warps[current / LANES].rows[lane] = row;
    meet([](Warp& warp) {
        for (int lane = 0; lane < LANES; lane++)
            for (int i = 0; i < 4; i++) {
                auto get = [&](int r, int c) {
                    return static_cast<unsigned>(static_cast<const Bf16*>(warp.rows[i * 8 + r])[c].bits);
                };
                int g = lane / 4, q = lane % 4 * 2;
                warp.words[lane][i] = TRANSPOSED ? get(q, g) | get(q + 1, g) << 16 : get(g, q) | get(g, q + 1) << 16;
            }
    });
    std::memcpy(out, warps[current / LANES].words[lane], sizeof out);
}

DEVICE void load_matrices(unsigned (&out)[4], const Bf16* row) { load_four<false>(out, row); }
DEVICE void load_matrices_transposed(unsigned (&out)[4], const Bf16* row) { load_four<true>(out, row); }

DEVICE void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    using namespace emulator;
    Warp& mine = warps[current / LANES];
    int lane = current % LANES;
    std::memcpy(mine.a[lane], a, sizeof a);
    std::memcpy(mine.sums[lane], sum, sizeof sum);
    mine.b[lane][0] = b0;
    mine.b[lane][1] = b1;
    meet([](Warp& warp) {
        float first[16][16], second[16][8];
        for (int lane = 0; lane < LANES; lane++) {
            int g = lane / 4, q = lane % 4 * 2;
            for (int i = 0; i < 4; i++)
                for (int r = 0; r < 2; r++) first[g + i % 2 * 8][q + i / 2 * 8 + r] = value(warp.a[lane][i], r);
            for (int i = 0; i < 2; i++)
                for (int r = 0; r < 2; r++) second[q + i * 8 + r][g] = value(warp.b[lane][i], r);
        }
        float product[16][8] = {};
        for (int m = 0; m < 16; m++)
            for (int k = 0; k < 16; k++)
                for (int n = 0; n < 8; n++) product[m][n] += first[m][k] * second[k][n];
        for (int lane = 0; lane < LANES; lane++)
            for (int r = 0; r < 4; r++) warp.sums[lane][r] += product[lane / 4 + r / 2 * 8][lane % 4 * 2 + r % 2];
    });
    std::memcpy(sum, mine.sums[lane], sizeof sum);
}

// A kernel is called through an array of pointers to its arguments, as cuLaunchKernel calls it.
template <class... Types, size_t... Index>
void call(void (*kernel)(Types...), void** arguments, std::index_sequence<Index...>) {
    kernel(*static_cast<Types*>(arguments[Index])...);
}

template <class... Types>
void call(void (*kernel)(Types...), void** arguments) {
    call(kernel, arguments, std::index_sequence_for<Types...>());
}
