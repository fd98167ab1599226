// Who computes what: each thread whole samples of its own, or all threads one sample after the other, each its planes.
#pragma once
#include <omp.h>

#include "case.h"
#include "simd.h"

namespace ISA {

// The threads that work on one sample together, as one of them sees it. It owns the planes [first, last).
struct Team {
    int rank, size, first, last;

    Team(int rank, int size, int planes)
        : rank(rank), size(size), first((int)((long)planes * rank / size)),
          last((int)((long)planes * (rank + 1) / size)) {}
    void wait() const {
        if (size > 1) {
#pragma omp barrier
        }
    }
};

struct Division {
    int threads;
    bool together;

    // Whichever leaves fewer threads waiting; samples of one's own need no barriers.
    explicit Division(const Case& k) {
        const int apart = larger(1, smaller(k.threads, k.batch)), joint = larger(1, smaller(k.threads, k.x));
        const double rounds = (k.batch + apart - 1) / apart;
        const double rounds_together = (double)k.batch * ((k.x + joint - 1) / joint) / k.x;
        together = rounds_together < rounds;
        threads = together ? joint : apart;
    }
    Team team(int rank, const Case& k) const { return together ? Team(rank, threads, k.x) : Team(0, 1, k.x); }
    int first_sample(int rank, const Case& k) const { return together ? 0 : (int)((long)k.batch * rank / threads); }
    int last_sample(int rank, const Case& k) const {
        return together ? k.batch : (int)((long)k.batch * (rank + 1) / threads);
    }
};

}  // namespace ISA
