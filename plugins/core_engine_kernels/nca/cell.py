"""The cell of a neural cellular automaton as a module: its parameters, and its reference rollout in plain PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from core_engine.core.noise import uniform
from core_engine_kernels.bundled_cell import BundledCell
from core_engine_kernels.nca.perception import perceive
from core_engine_kernels.nca.spec import NcaSpec


class NcaCell(BundledCell):
    """Kernel in which cells perceive the gradients of the state and update at random times.

    For each cell, with state ``s [C]``, drive ``d [E]`` and hidden layer ``h [H]``, in each step t = 0 ... T - 1::

        p = (s, D_x s, D_y s, D_z s)
        h = relu(sum_k perception_weight[:, k] p_k + drive_weight d + hidden_bias)
        s = s + m(t) (update_weight h + update_bias)

    ``D`` are the fixed derivative filters of :mod:`core_engine_kernels.nca.perception`. ``m(t)`` is 1 with probability
    ``fire_rate`` and 0 otherwise, one draw for each cell: where :func:`core_engine.core.noise.uniform`, keyed by (seed,
    sample, t, cell), is below ``fire_rate``. Cells whose mask is 1 update at once.

    ======================  ===============  =======================
    ``perception_weight``   ``[H, 4, C]``    N(0, 1 / (4 C + E))
    ``drive_weight``        ``[H, E]``       N(0, 1 / (4 C + E))
    ``hidden_bias``         ``[H]``          0
    ``update_weight``       ``[C, H]``       0
    ``update_bias``         ``[C]``          0
    ======================  ===============  =======================

    An untrained cell leaves its state as it is, at any number of steps.

    Source: Mordvintsev, Randazzo, Niklasson and Levin, "Growing Neural Cellular Automata", Distill, 2020, in three
    dimensions instead of two. The drive is added, and there is no living mask: every cell is alive.
    """

    spec: NcaSpec
    perception_weight: Tensor
    drive_weight: Tensor
    hidden_bias: Tensor
    update_weight: Tensor
    update_bias: Tensor
    #: The filters reach all cells that share a face, an edge or a corner.
    neighbours = 26

    def __init__(self, spec: NcaSpec, *, size: tuple[int, int, int], seed: int) -> None:
        spread = (4 * spec.channels + spec.drive_channels) ** -0.5
        super().__init__(spec, size=size, seed=seed, std={"perception_weight": spread, "drive_weight": spread})

    def advance(
        self, state: Tensor, drive: Tensor, first_step: int, steps: int, seed: int, sample_ids: Tensor
    ) -> Tensor:
        """State ``[B, X, Y, Z, C]`` after ``steps`` steps, the first of which is number ``first_step``."""
        perception_weight = self.perception_weight.flatten(1)
        constant = F.linear(drive, self.drive_weight, self.hidden_bias)
        for number in range(first_step, first_step + steps):
            hidden = torch.relu(F.linear(perceive(state), perception_weight) + constant)
            update = F.linear(hidden, self.update_weight, self.update_bias)
            fires = uniform(state.shape[:4], seed, sample_ids, number, state.device) < self.spec.fire_rate
            state = state + update * fires[..., None]
        return state
