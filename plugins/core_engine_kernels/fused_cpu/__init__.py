"""The stencil cell in C++ for CPUs: all steps in one call, each sample's lattice in the cache of one core."""
