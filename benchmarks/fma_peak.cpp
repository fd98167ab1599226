// Multiply-adds in registers, as fast as this processor can. Built as a shared library, for the processor at hand.
#if defined(__AVX512F__)
typedef float V __attribute__((vector_size(64)));
#elif defined(__AVX__)
typedef float V __attribute__((vector_size(32)));
#else
typedef float V __attribute__((vector_size(16)));
#endif
constexpr int CHAINS = 12, LANES = sizeof(V) / sizeof(float);

// Does them on so many threads, and says how many floating-point operations these were, two for each multiply-add.
extern "C" double multiply_adds(int threads, long steps) {
    float sink = 0;
#pragma omp parallel num_threads(threads) reduction(+ : sink)
    {
        V sum[CHAINS], a = V{} + 0.999f, b = V{} + 1e-3f;
        for (int n = 0; n < CHAINS; n++) sum[n] = V{} + (float)n;
        for (long step = 0; step < steps; step++) {
#pragma GCC unroll 12
            for (int n = 0; n < CHAINS; n++) sum[n] = sum[n] * a + b;
            asm volatile("");  // keeps the loop as it is written
        }
        for (int n = 0; n < CHAINS; n++) sink += sum[n][0];
    }
    return sink == 0 ? 0 : 2.0 * CHAINS * LANES * steps * threads;
}
