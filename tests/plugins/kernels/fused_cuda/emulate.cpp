// One kernel of the device source for the CPU. KERNEL_FILE and KERNEL_NAME say which.
#include KERNEL_FILE

// Null, or what went wrong. `used`: the bytes of shared memory that the kernel laid out.
extern "C" const char* emulate(void** arguments, int grid, int threads, int bytes, unsigned seed, int* used) {
    auto body = [](void* given) { call(KERNEL_NAME, static_cast<void**>(given)); };
    const char* problem = emulator::launch(body, arguments, grid, threads, bytes, seed);
    *used = emulator::noted_bytes;
    return problem;
}
