"""The cell that is a gated recurrent unit: its description, its options, its parameters and rollout."""
