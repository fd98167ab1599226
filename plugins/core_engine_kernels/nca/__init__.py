"""The cell of a neural cellular automaton: its description, its options, its parameters and rollout."""
