"""The gated recurrent cell as a module: its parameters, and its reference rollout in plain PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from core_engine_kernels.bundled_cell import BundledCell
from core_engine_kernels.gru.spec import GruSpec

#: Where the update gate's bias starts.
UPDATE_BIAS = -4.0


class GruCell(BundledCell):
    """Kernel in which each cell is a gated recurrent unit; its neighbours and its drive are the unit's input.

    For each cell, with state ``s [C]``, neighbours' states ``s_1 ... s_6 [C]`` and drive ``d [E]``, in each step::

        a_g = sum_k neighbour_weight[g, :, k] s_k + drive_weight[g] d + bias[g]        g = 0, 1, 2: [C] each
        z = sigmoid(own_weight[0] s + a_0)                 update gate
        r = sigmoid(own_weight[1] s + a_1)                 reset gate
        c = tanh(own_weight[2] (r * s) + a_2)              candidate
        s = (1 - z) * s + z * c

    The neighbours are those at x - 1, x + 1, y - 1, y + 1, z - 1, z + 1; outside the lattice the state is 0. All cells
    update at once. Nothing is random.

    ====================  ==================  ======================================================
    ``own_weight``        ``[3, C, C]``       N(0, 1 / (7 C + E)); 0 for the update gate
    ``neighbour_weight``  ``[3, C, 6, C]``    N(0, 1 / (7 C + E)); 0 for the update gate
    ``drive_weight``      ``[3, C, E]``       N(0, 1 / (7 C + E)); 0 for the update gate
    ``bias``              ``[3, C]``          0; -4 for the update gate
    ====================  ==================  ======================================================

    In an untrained cell the update gate is thus sigmoid(-4) = 0.018 everywhere: each step keeps 98.2 % of the state.
    Candidates lie between -1 and 1, so a value beyond can be kept but not made.

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation",
    2014, where the gate is the other way round, z being what is kept. The negative bias is that of highway networks
    (Srivastava, Greff and Schmidhuber, "Highway Networks", 2015).
    """

    spec: GruSpec
    own_weight: Tensor
    neighbour_weight: Tensor
    drive_weight: Tensor
    bias: Tensor

    def __init__(self, spec: GruSpec, *, size: tuple[int, int, int], seed: int) -> None:
        spread = (7 * spec.channels + spec.drive_channels) ** -0.5
        weights = ("own_weight", "neighbour_weight", "drive_weight")
        super().__init__(spec, size=size, seed=seed, std=dict.fromkeys(weights, spread))
        with torch.no_grad():
            for name in weights:
                self.get_parameter(name)[0] = 0.0
            self.bias[0] = UPDATE_BIAS

    def advance(
        self, state: Tensor, drive: Tensor, first_step: int, steps: int, seed: int, sample_ids: Tensor
    ) -> Tensor:
        """State ``[B, X, Y, Z, C]`` after ``steps`` steps. Nothing is random, so the keys play no part."""
        own_of_gates, own_of_candidate = self.own_weight[:2].flatten(0, 1), self.own_weight[2]
        of_neighbours = self.neighbour_weight.flatten(0, 1)
        constant = F.linear(drive, self.drive_weight.flatten(0, 1), self.bias.flatten())
        for _ in range(steps):
            given = constant + _from_neighbours(state, of_neighbours)
            to_gates, to_candidate = given.split([2 * self.spec.channels, self.spec.channels], dim=-1)
            update, reset = torch.sigmoid(F.linear(state, own_of_gates) + to_gates).chunk(2, dim=-1)
            candidate = torch.tanh(F.linear(reset * state, own_of_candidate) + to_candidate)
            state = state + update * (candidate - state)
        return state


def _from_neighbours(state: Tensor, weight: Tensor) -> Tensor:
    """Sum over the six neighbours, ``[B, X, Y, Z, C] -> [B, X, Y, Z, O]``; ``weight [O, 6, C]``.

    One convolution along each axis, of two taps one cell apart (``dilation=2``): the neighbourhoods are not written
    down, and no tap multiplies by zero.
    """
    channels_second = state.permute(0, 4, 1, 2, 3)
    parts = []
    for axis in range(3):
        along = [int(other == axis) for other in range(3)]
        two = [1 + here for here in along]
        pair = weight[:, 2 * axis : 2 * axis + 2].transpose(1, 2).unflatten(-1, two)
        parts.append(F.conv3d(channels_second, pair, padding=along, dilation=two))
    return (parts[0] + parts[1] + parts[2]).permute(0, 2, 3, 4, 1)
