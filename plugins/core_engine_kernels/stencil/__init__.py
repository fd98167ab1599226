"""The stencil cell: its description, its parameters, its reference rollout, and the operator of fused backends."""
