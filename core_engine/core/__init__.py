"""The trainable core: normaliser, reshape in, T steps of a cell on the lattice, reshape out. Needs torch."""
