// Multiply-adds per second that this machine reaches in registers, on as many threads as OMP_NUM_THREADS says.
// Prints GFLOP/s (two for each multiply-add). Compiled for the processor at hand.
#include <omp.h>

#include <cstdio>

#if defined(__AVX512F__)
typedef float V __attribute__((vector_size(64)));
#elif defined(__AVX__)
typedef float V __attribute__((vector_size(32)));
#else
typedef float V __attribute__((vector_size(16)));
#endif
constexpr int CHAINS = 12, LANES = sizeof(V) / sizeof(float);
constexpr long STEPS = 20000000;

int main() {
    double best = 0;
    for (int repeat = 0; repeat < 5; repeat++) {
        float sink = 0;
        const double start = omp_get_wtime();
#pragma omp parallel reduction(+ : sink)
        {
            V sum[CHAINS], a = V{} + 0.999f, b = V{} + 1e-3f;
            for (int n = 0; n < CHAINS; n++) sum[n] = V{} + (float)n;
            for (long step = 0; step < STEPS; step++) {
#pragma GCC unroll 12
                for (int n = 0; n < CHAINS; n++) sum[n] = sum[n] * a + b;
                asm volatile("");
            }
            for (int n = 0; n < CHAINS; n++) sink += sum[n][0];
        }
        const double seconds = omp_get_wtime() - start;
        const double rate = 2.0 * CHAINS * LANES * STEPS * omp_get_max_threads() / seconds / 1e9;
        if (rate > best && sink != 0) best = rate;
    }
    printf("%.1f\n", best);
}
