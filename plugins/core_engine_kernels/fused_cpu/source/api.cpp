// The C interface. core_engine_kernels/fused_cpu/library.py calls it.
#include "case.h"

namespace {
struct Isa {
    const char* name;
    bool (*forward)(const Case&, const Parameters&, const ForwardArguments&);
    bool (*backward)(const Case&, const Parameters&, const BackwardArguments&, Gradients&);
    bool (*available)();
};

// The fastest first.
const Isa table[] = {
#if defined(__x86_64__)
    {"avx512", avx512::forward, avx512::backward,
     [] {
         return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
     }},
    {"avx2", avx2::forward, avx2::backward,
     [] {
         return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
     }},
#endif
    {"portable", portable::forward, portable::backward, [] { return true; }},
};
constexpr int count = sizeof(table) / sizeof(table[0]);
}  // namespace

extern "C" {

// Version of this interface: library.py refuses another.
int core_engine_stencil_abi() { return 1; }

// The name of implementation n, null past the last; and whether this processor can run it.
const char* core_engine_stencil_isa(int n) { return n < count ? table[n].name : nullptr; }
int core_engine_stencil_isa_available(int n) { return n < count && table[n].available(); }

// 0, or 1 where there is not enough memory.
int core_engine_stencil_forward(const Case* k, const Parameters* p, const ForwardArguments* a) {
    return table[k->isa].forward(*k, *p, *a) ? 0 : 1;
}
int core_engine_stencil_backward(const Case* k, const Parameters* p, const BackwardArguments* a, Gradients* d) {
    return table[k->isa].backward(*k, *p, *a, *d) ? 0 : 1;
}
}
