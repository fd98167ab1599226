"""The cells of ``nca`` and ``gru``, one cell at a time: slow, and plain enough to be checked by eye against the
equations of NcaCell and GruCell. Same arguments and result as their ``advance``; differentiable.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor

from core_engine.core.noise import uniform

Parameters = Mapping[str, Tensor]


def _at(state: Tensor, sample: int, cell: tuple[int, ...]) -> Tensor:
    """The state of a cell, zeros outside the lattice."""
    inside = all(0 <= c < n for c, n in zip(cell, state.shape[1:4], strict=True))
    return state[(sample, *cell)] if inside else torch.zeros_like(state[0, 0, 0, 0])


def _cells(state: Tensor) -> list[tuple[int, tuple[int, ...]]]:
    return [(place[0], tuple(place[1:])) for place in product(*map(range, state.shape[:4]))]


def nca(
    spec: Any, p: Parameters, state: Tensor, drive: Tensor, first: int, steps: int, seed: int, ids: Tensor
) -> Tensor:
    for step in range(first, first + steps):
        draws = uniform(state.shape[:4], seed, ids, step, state.device)
        new = torch.empty_like(state)
        for sample, cell in _cells(state):
            place = (sample, *cell)
            perceived = [state[place]]
            for axis in range(3):
                derivative = torch.zeros_like(state[place])
                for offset in product((-1, 0, 1), repeat=3):
                    weight = offset[axis] / 32
                    for other in range(3):
                        if other != axis:
                            weight *= 2 - abs(offset[other])
                    moved = tuple(c + o for c, o in zip(cell, offset, strict=True))
                    derivative = derivative + weight * _at(state, sample, moved)
                perceived.append(derivative)
            hidden = p["drive_weight"] @ drive[place] + p["hidden_bias"]
            for k in range(4):
                hidden = hidden + p["perception_weight"][:, k] @ perceived[k]
            update = p["update_weight"] @ hidden.clamp(min=0) + p["update_bias"]
            new[place] = state[place] + update if draws[place] < spec.fire_rate else state[place]
        state = new
    return state


SIX = ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))


def gru(
    spec: Any, p: Parameters, state: Tensor, drive: Tensor, first: int, steps: int, seed: int, ids: Tensor
) -> Tensor:
    for _ in range(steps):
        new = torch.empty_like(state)
        for sample, cell in _cells(state):
            place = (sample, *cell)
            own = state[place]
            given = []
            for g in range(3):
                total = p["drive_weight"][g] @ drive[place] + p["bias"][g]
                for k, offset in enumerate(SIX):
                    moved = tuple(c + o for c, o in zip(cell, offset, strict=True))
                    total = total + p["neighbour_weight"][g, :, k] @ _at(state, sample, moved)
                given.append(total)
            update = 1 / (1 + torch.exp(-(p["own_weight"][0] @ own + given[0])))
            reset = 1 / (1 + torch.exp(-(p["own_weight"][1] @ own + given[1])))
            candidate = torch.tanh(p["own_weight"][2] @ (reset * own) + given[2])
            new[place] = (1 - update) * own + update * candidate
        state = new
    return state
