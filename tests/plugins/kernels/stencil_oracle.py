"""The stencil cell, one cell at a time: slow, and plain enough to be checked by eye against StencilCell's equations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

import torch
from core_engine_kernels.stencil.spec import CellSpec
from torch import Tensor

from core_engine.core.noise import normal, uniform

OFFSETS = {
    6: [(0, 0, 0), (-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)],
    26: [(0, 0, 0), *(o for o in product([-1, 0, 1], repeat=3) if o != (0, 0, 0))],
}

ACTIVATIONS = {
    "gelu": lambda v: 0.5 * v * (1 + torch.erf(v / math.sqrt(2))),
    "gelu_tanh": lambda v: 0.5 * v * (1 + torch.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))),
    "relu": lambda v: torch.where(v > 0, v, 0.0),
    "silu": lambda v: v / (1 + torch.exp(-v)),
}


def oracle(
    spec: CellSpec,
    parameters: Mapping[str, Tensor],
    state: Tensor,
    drive: Tensor,
    first_step: int,
    steps: int,
    seed: int,
    sample_ids: Tensor,
) -> Tensor:
    """Same arguments and result as the rollout; differentiable."""
    size = state.shape[1:4]
    cells, width = math.prod(size), spec.hidden
    for step in range(first_step, first_step + steps):
        if spec.state_noise:
            noise = normal(state.shape, seed, sample_ids, step, state.dtype, state.device)
            state = state + spec.state_noise * noise
        draws = uniform((len(state), cells * (1 + width)), seed, sample_ids, step, state.device)
        new = torch.empty_like(state)
        for sample, *cell in product(range(len(state)), *map(range, size)):
            place = (sample, *cell)
            hidden = parameters["drive_weight"] @ drive[place] + parameters["hidden_bias"]
            if spec.position:
                hidden = hidden + parameters["position"][tuple(cell)]
            for k, offset in enumerate(OFFSETS[spec.neighbours]):
                other = [c + o for c, o in zip(cell, offset, strict=True)]
                if spec.boundary == "periodic":
                    other = [c % n for c, n in zip(other, size, strict=True)]
                if all(0 <= c < n for c, n in zip(other, size, strict=True)):
                    hidden = hidden + parameters["state_weight"][:, k] @ state[(sample, *other)]
            number = (cell[0] * size[1] + cell[1]) * size[2] + cell[2]
            own = draws[sample, cells + number * width : cells + (number + 1) * width]
            hidden = ACTIVATIONS[spec.activation](hidden)
            hidden = torch.where(own < spec.dropout, 0.0, hidden / (1 - spec.dropout))
            update = parameters["update_weight"] @ hidden + parameters["update_bias"]
            if spec.update == "gated":
                gate = parameters["gate_weight"] @ hidden + parameters["gate_bias"]
                update = update / (1 + torch.exp(-gate))
            updates = draws[sample, number] < spec.update_probability
            new[place] = state[place] + update / spec.update_probability if updates else state[place]
        state = new
    return state
