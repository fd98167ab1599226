// All steps of all samples, forward and backward.
#pragma once
#include "noise.h"
#include "step.h"
#include "team.h"

namespace ISA {

// What the threads of a team share.
struct Shared {
    long state_floats;
    float* states;      // padded: two that take turns, or those of the steps that are gone back through
    float* constant;    // [N, H]: what a wide drive, bias and position add to the hidden layer in every step
    float* d_constant;  // [N, H], summed over the steps
    float* slabs;       // gradients of the state, for each thread its planes and one more on either side; twice
    long slabs_floats, two_planes;

    Shared(const Cell& cell, int count, int team, bool backward, Arena& arena) {
        state_floats = cell.g.floats();
        states = arena.take(count * state_floats);
        constant = arena.take(cell.narrow_drive() ? 0 : cell.g.cells() * cell.H);
        d_constant = arena.take(backward ? cell.g.cells() * cell.H : 0);
        two_planes = 2 * cell.g.plane;
        slabs_floats = (cell.g.x + 2 * team) * cell.g.plane;
        slabs = arena.take(backward ? 2 * slabs_floats : 0);
    }
    float* state(int n) const { return states + n * state_floats; }
    // So that the address of plane i, as in a padded state, is one of the thread's own.
    float* slab(int rank, int which) const { return slabs + which * slabs_floats + rank * two_planes; }
};

// Gradients of what the constant part is made of, of a thread's cells.
struct ConstantGradients {
    double* drive;     // [E, H]
    double* bias;      // [H]
    float* position;   // [N, H], or null
    float* drive_row;  // [E, H] of one row of cells
    long drive_floats;

    ConstantGradients(const Cell& cell, bool with_position, Arena& arena) {
        drive_floats = (long)cell.k.drive_channels * cell.H;
        drive = (double*)arena.take(2 * drive_floats);
        bias = (double*)arena.take(2 * cell.H);
        float* positions = arena.take(with_position ? cell.g.cells() * cell.H : 0);
        position = with_position ? positions : nullptr;
        drive_row = arena.take(drive_floats);
    }
};

static Constant constant_part(const Cell& cell, const Parameters& p, const Team& team, const float* drive, float* out) {
    if (cell.narrow_drive()) return Constant{drive, p.position};
    const Lattice& g = cell.g;
    for (int i = team.first; i < team.last; i++)
        for (int j = 0; j < g.y; j++) {
            const long n = ((long)i * g.y + j) * g.z;
            product<Wide>(g.z, cell.H / lanes<Wide>, cell.from_drive, drive + n * cell.w.drive, cell.w.drive_in,
                          p.position ? p.position + n * cell.H : nullptr, out + n * cell.H);
        }
    return Constant{nullptr, out};
}

// Makes a state ready for its step: adds the step's noise, and fills the layer around it.
static void enter(const Cell& cell, const Team& team, int step, int64_t sample, float* state) {
    const Lattice& g = cell.g;
    if (cell.k.state_noise != 0.0f) {
        const uint64_t key = noise_key(cell.k.seed, sample, step);
        for (int i = team.first; i < team.last; i++)
            for (int j = 0; j < g.y; j++)
                add_noise(state + g.at(i, j), g.dense(i, j) / 2, g.z * g.width / 2, key, cell.k.state_noise);
    }
    if (cell.k.periodic) wrap(g, team.first, team.last, state);
}

static void forward_sample(const Cell& cell, const Parameters& p, const ForwardArguments& a, const Team& team, int b,
                           Shared& shared, Scratch& scratch) {
    const Case& k = cell.k;
    const Lattice& g = cell.g;
    const long floats = g.cells() * k.channels;
    const Constant constant =
        constant_part(cell, p, team, a.drive + b * g.cells() * k.drive_channels, shared.constant);
    pack(g, team.first, team.last, a.state + b * floats, shared.state(0));
    enter(cell, team, 0, a.sample_ids[b], shared.state(0));
    team.wait();
    for (int t = 0; t < k.steps; t++) {
        float* next = shared.state((t + 1) % 2);
        step(cell, team.first, team.last, shared.state(t % 2), constant, scratch, next);
        if (t + 1 == k.steps) break;
        if (a.states && (t + 1) % k.every == 0)
            unpack(g, team.first, team.last, next, a.states + ((long)((t + 1) / k.every - 1) * k.batch + b) * floats);
        enter(cell, team, t + 1, a.sample_ids[b], next);
        team.wait();
    }
    unpack(g, team.first, team.last, shared.state(k.steps % 2), a.out + b * floats);
    team.wait();
}

// After a step back: what other threads added around their planes belongs to these, and what this one added around its
// own is theirs to fetch.
static void exchange(const Cell& cell, const Team& team, const Shared& shared, int which) {
    const Lattice& g = cell.g;
    float* own = shared.slab(team.rank, which);
    const bool around = cell.k.periodic;
    if (team.first > 0 || around) {
        const float* before = shared.slab(team.first > 0 ? team.rank - 1 : team.size - 1, which);
        const int plane = team.first > 0 ? team.first : g.x;
        add_floats(own + (team.first + 1) * g.plane, before + (plane + 1) * g.plane, g.plane);
    }
    if (team.last < g.x || around) {
        const float* after = shared.slab(team.last < g.x ? team.rank + 1 : 0, which);
        const int plane = team.last < g.x ? team.last - 1 : -1;
        add_floats(own + team.last * g.plane, after + (plane + 1) * g.plane, g.plane);
    }
}

static void backward_sample(const Cell& cell, const Parameters& p, const BackwardArguments& a, const Team& team, int b,
                            Shared& shared, Scratch& scratch, WeightGradients& sums,
                            ConstantGradients& constants) {
    const Case& k = cell.k;
    const Lattice& g = cell.g;
    const int H = cell.H, E = k.drive_channels, first = team.first, last = team.last;
    const long floats = g.cells() * k.channels, row_floats = (long)g.z * H;
    const float* drive = a.drive + b * g.cells() * E;
    const Constant constant = constant_part(cell, p, team, drive, shared.constant);
    memset(shared.d_constant + first * g.y * row_floats, 0, sizeof(float) * (last - first) * g.y * row_floats);
    int present = 0;
    pack(g, first, last, a.grad + b * floats, shared.slab(team.rank, present));
    for (int start = (k.steps - 1) / k.every * k.every; start >= 0; start -= k.every) {
        const int count = smaller(k.every, k.steps - start);
        const float* kept = start == 0 ? a.state : a.states + (long)(start / k.every - 1) * k.batch * floats;
        pack(g, first, last, kept + b * floats, shared.state(0));
        enter(cell, team, start, a.sample_ids[b], shared.state(0));
        team.wait();
        for (int s = 0; s + 1 < count; s++) {
            step(cell, first, last, shared.state(s), constant, scratch, shared.state(s + 1));
            enter(cell, team, start + s + 1, a.sample_ids[b], shared.state(s + 1));
            team.wait();
        }
        for (int s = count - 1; s >= 0; s--) {
            float *grad = shared.slab(team.rank, present), *next = shared.slab(team.rank, 1 - present);
            memset(next + first * g.plane, 0, sizeof(float) * (last - first + 2) * g.plane);
            for (int i = first; i < last; i++)
                for (int j = 0; j < g.y; j++) memcpy(next + g.at(i, j), grad + g.at(i, j), sizeof(float) * g.z * g.width);
            step_backward(cell, first, last, shared.state(s), constant, grad, scratch, next, shared.d_constant,
                          sums);
            if (k.periodic)
                for (int i = first - 1; i <= last; i++) unwrap(g, next + (i + 1) * g.plane);
            present = 1 - present;
            team.wait();
            exchange(cell, team, shared, present);
        }
    }
    unpack(g, first, last, shared.slab(team.rank, present), a.d_state + b * floats);

    // The constant part's gradient leads to drive, drive weights, bias and position.
    const int padded = cell.w.drive_padded;
    for (int r = first * g.y; r < last * g.y; r++) {
        const long n = (long)r * g.z;
        const float* d_constant = shared.d_constant + n * H;
        memset(constants.drive_row, 0, sizeof(float) * constants.drive_floats);
        outer(E, H, 1, g.z, Lines{drive + n * E, 0, E}, Lines{d_constant, 0, H}, constants.drive_row);
        add_doubles(constants.drive, constants.drive_row, constants.drive_floats);
        for (int c = 0; c < g.z; c++) add_doubles(constants.bias, d_constant + (long)c * H, H);
        if (constants.position) add_floats(constants.position + n * H, d_constant, row_floats);
        if (E == 0) continue;  // then d_drive may be null
        product<Wide>(g.z, padded / lanes<Wide>, cell.to_drive, d_constant, cell.w.drive_out, nullptr, scratch.row);
        float* out = a.d_drive + (b * g.cells() + n) * E;
        for (int c = 0; c < g.z; c++) memcpy(out + (long)c * E, scratch.row + (long)c * padded, sizeof(float) * E);
    }
    team.wait();
}

// What a thread has for itself in the backward pass.
struct Own {
    Scratch scratch;
    WeightGradients sums;
    ConstantGradients constants;

    Own(const Cell& cell, bool with_position, Arena& arena)
        : scratch(cell, true, arena), sums(cell, arena), constants(cell, with_position, arena) {}
};

// From the threads' totals to the module's layout.
static void write_gradients(const Cell& cell, Own* const* of_threads, int threads, Gradients& d) {
    const int H = cell.H, C = cell.C, U = cell.U, E = cell.k.drive_channels, inputs = cell.inputs;
    auto sum = [&](auto get) {
        double value = 0;
        for (int n = 0; n < threads; n++) value += get(*of_threads[n]);
        return (float)value;
    };
    for (int h = 0; h < H; h++) {
        for (int i = 0; i < inputs; i++)
            d.state_weight[(long)h * inputs + i] = sum([&](const Own& t) { return t.sums.total[(long)i * H + h]; });
        for (int e = 0; e < E; e++)
            d.drive_weight[(long)h * E + e] = sum([&](const Own& t) { return t.constants.drive[(long)e * H + h]; });
        d.hidden_bias[h] = sum([&](const Own& t) { return t.constants.bias[h]; });
    }
    const long update = (long)inputs * H, bias = update + (long)U * H;
    for (int u = 0; u < U; u++) {
        float* row = u < C ? d.update_weight + (long)u * H : d.gate_weight + (long)(u - C) * H;
        for (int h = 0; h < H; h++)
            row[h] = sum([&](const Own& t) { return t.sums.total[update + (long)u * H + h]; });
        (u < C ? d.update_bias[u] : d.gate_bias[u - C]) = sum([&](const Own& t) { return t.sums.total[bias + u]; });
    }
    if (d.position)
        for (long n = 0; n < cell.g.cells() * H; n++)
            d.position[n] = sum([&](const Own& t) { return (double)t.constants.position[n]; });
}

// Lays out one block: the weights, what each team shares, and what each thread has for itself. The number of threads
// that OpenMP gave where it gave fewer than were asked for, and nothing was done; else 0, or -1 for too little memory.
template <class LayShared, class LayOwn, class Work>
static int in_parallel(const Case& k, const Parameters& p, const Division& division, LayShared shared_of,
                       LayOwn own_of, Work work) {
    Arena counting;
    const Cell counted(k, counting);
    const int teams = division.together ? 1 : division.threads;
    const long weights = floats_of([&](Arena& arena) { Weights(k, counted.inputs, arena); });
    const long shared = floats_of([&](Arena& arena) { shared_of(counted, arena); });
    const long own = floats_of([&](Arena& arena) { own_of(counted, arena); });
    const size_t bytes = sizeof(float) * (weights + teams * shared + division.threads * own);
    float* block = (float*)aligned_alloc(64, bytes);
    if (!block) return -1;
    int too_few = 0;
    Arena weights_arena{block};
    Cell cell(k, weights_arena);
    cell.w.fill(k, cell.inputs, p);
#pragma omp parallel num_threads(division.threads)
    {
        const int rank = omp_get_thread_num();
        if (omp_get_num_threads() == division.threads) {
            const Team team = division.team(rank, k);
            Arena for_team{block + weights + (division.together ? 0 : rank) * shared};
            Arena for_thread{block + weights + teams * shared + rank * own};
            if (team.rank == 0) memset(for_team.base, 0, sizeof(float) * shared);
            memset(for_thread.base, 0, sizeof(float) * own);
            team.wait();
            work(cell, team, rank, for_team, for_thread);
        } else if (rank == 0) {
            too_few = omp_get_num_threads();
        }
    }
    free(block);
    return too_few;
}

static int forward_with(const Case& k, const Parameters& p, const ForwardArguments& a) {
    const Division division(k);
    auto shared_of = [&](const Cell& cell, Arena& arena) { return Shared(cell, 2, division.threads, false, arena); };
    auto own_of = [&](const Cell& cell, Arena& arena) { return Scratch(cell, false, arena); };
    return in_parallel(k, p, division, shared_of, own_of,
                       [&](const Cell& cell, const Team& team, int rank, Arena& for_team, Arena& for_thread) {
                           Shared shared = shared_of(cell, for_team);
                           Scratch scratch = own_of(cell, for_thread);
                           const int last = division.last_sample(rank, k);
                           for (int b = division.first_sample(rank, k); b < last; b++)
                               forward_sample(cell, p, a, team, b, shared, scratch);
                       });
}

static int backward_with(const Case& k, const Parameters& p, const BackwardArguments& a, Gradients& d) {
    const Division division(k);
    const int states = smaller(k.every, k.steps);
    auto shared_of = [&](const Cell& cell, Arena& arena) {
        return Shared(cell, states, division.together ? division.threads : 1, true, arena);
    };
    auto own_of = [&](const Cell& cell, Arena& arena) { return Own(cell, p.position != nullptr, arena); };
    Own** of_threads = (Own**)malloc(sizeof(Own*) * division.threads);
    if (!of_threads) return -1;
    const int result = in_parallel(
        k, p, division, shared_of, own_of,
        [&](const Cell& cell, const Team& team, int rank, Arena& for_team, Arena& for_thread) {
            Shared shared = shared_of(cell, for_team);
            Own own = own_of(cell, for_thread);
            const int last = division.last_sample(rank, k);
            for (int b = division.first_sample(rank, k); b < last; b++)
                backward_sample(cell, p, a, team, b, shared, own.scratch, own.sums, own.constants);
            own.sums.flush();
            of_threads[rank] = &own;
#pragma omp barrier
            if (rank == 0) write_gradients(cell, of_threads, division.threads, d);
#pragma omp barrier
        });
    free(of_threads);
    return result;
}

// Again with as many threads as there are, where these are fewer than was thought.
template <class Run> static bool with_threads(Case k, Run run) {
    for (;;) {
        const int result = run(k);
        if (result <= 0) return result == 0;
        k.threads = result;
    }
}

bool forward(const Case& k, const Parameters& p, const ForwardArguments& a) {
    return with_threads(k, [&](const Case& k) { return forward_with(k, p, a); });
}

bool backward(const Case& k, const Parameters& p, const BackwardArguments& a, Gradients& d) {
    return with_threads(k, [&](const Case& k) { return backward_with(k, p, a, d); });
}

}  // namespace ISA
