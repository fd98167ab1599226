// Noise of one step, for the regime that takes steps one by one.
#pragma once

#include "functions.cuh"
#include "memory.cuh"

// What a step reads: noisy [batch, cells, CHANNELS], bf16, is `state` with the step's noise. If `wide`, state is
// float32 and takes up the noise itself; else it is bf16 and stays as it is. `pairs`: half the number of values.
KERNEL(add_noise)(void* state, int wide, Bf16* noisy, long long pairs, int cells, Noise noise) {
    for (long long i = static_cast<long long>(block_index()) * THREADS + thread_index(); i < pairs;
         i += static_cast<long long>(block_count()) * THREADS) {
        long long cell = i / (CHANNELS / 2);
        int channel = static_cast<int>(i % (CHANNELS / 2)) * 2;
        Float2 pair = load_values(state, wide, i * 2);
        noise.of(cell, cells, 0).add_to(pair.x, pair.y, channel);
        if (wide) store_floats(static_cast<float*>(state) + i * 2, pair.x, pair.y);
        store_pair(noisy + i * 2, pack(pair.x, pair.y));
    }
}
