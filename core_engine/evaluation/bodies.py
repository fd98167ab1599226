"""What stands between the means and scales of an adapter: ``[n, D_in] -> [n, D_out]``, centred and scaled rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core_engine.core.alignment import rotation
from core_engine.core.low_rank import LowRank
from core_engine.memory.tables import cross_products


class Body(nn.Module):
    """``peak_rate``: the highest learning rate of its weights."""

    peak_rate: ClassVar[float] = 4e-4

    def fit(self, inputs: Tensor, targets: Tensor, input_mean: Tensor, target_mean: Tensor) -> None:
        """Before training, with the training split ``[n, D_in]`` and ``[n, D_out]`` and the means of both: nothing, for
        most.
        """


class Linear(Body):
    """``z -> W z``.

    W starts at the identity, or where the dimensions differ at the
    :func:`rotation <core_engine.core.alignment.rotation>` to the targets.
    """

    def __init__(self, input_dim: int, output_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(output_dim, input_dim))

    @torch.no_grad()
    def fit(self, inputs: Tensor, targets: Tensor, input_mean: Tensor, target_mean: Tensor) -> None:
        if inputs.shape[1] != targets.shape[1]:
            self.weight.copy_(rotation(inputs, targets, input_mean, target_mean).T)

    def forward(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight)


class TwoLayer(Body):
    """``z -> S z + W2 gelu(W1 z + b1)`` with 2 · D_in hidden units.

    S is the identity, or where the dimensions differ a learned :class:`Linear` (the projection shortcut of He et al.,
    2016, "Deep Residual Learning"). W2 starts at zero, W1 and b1 uniform within 1 / sqrt(D_in).
    """

    def __init__(self, input_dim: int, output_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        hidden, bound = 2 * input_dim, 1 / math.sqrt(input_dim)
        equal = input_dim == output_dim
        self.shortcut = nn.Identity() if equal else Linear(input_dim, output_dim)
        self.weight1 = nn.Parameter(torch.empty(hidden, input_dim).uniform_(-bound, bound, generator=generator))
        self.bias1 = nn.Parameter(torch.empty(hidden).uniform_(-bound, bound, generator=generator))
        self.weight2 = nn.Parameter(torch.zeros(output_dim, hidden))

    def fit(self, inputs: Tensor, targets: Tensor, input_mean: Tensor, target_mean: Tensor) -> None:
        if isinstance(self.shortcut, Linear):
            self.shortcut.fit(inputs, targets, input_mean, target_mean)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = F.gelu(F.linear(inputs, self.weight1, self.bias1))
        output: Tensor = self.shortcut(inputs) + F.linear(hidden, self.weight2)
        return output


class LowRankUpdate(Body):
    """``z -> z + up down z`` (:class:`core_engine.core.low_rank.LowRank`), for equal dimensions."""

    peak_rate = 2e-3

    def __init__(self, dim: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.update = LowRank(dim, dim, rank, generator.initial_seed())

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = inputs + self.update(inputs)
        return output


class Gains(Body):
    """``z -> z + V diag(g) Vᵀ z``: each principal axis of the training inputs scaled by itself, for equal dimensions.

    V ``[D, D]`` is :meth:`fitted <fit>` and stays; g ``[D]`` starts at zero.
    """

    peak_rate = 1e-2
    axes: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gains = nn.Parameter(torch.zeros(dim))
        self.register_buffer("axes", torch.eye(dim))

    def fit(self, inputs: Tensor, targets: Tensor, input_mean: Tensor, target_mean: Tensor) -> None:
        self.axes.copy_(torch.linalg.eigh(cross_products(inputs, inputs, input_mean, input_mean)).eigenvectors)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = inputs + (inputs @ self.axes * self.gains) @ self.axes.T
        return output


#: (D_in, D_out, generator) to a body.
MakeBody = Callable[[int, int, torch.Generator], Body]
#: By name, in the order in which they are shown.
BODIES: Final[Mapping[str, MakeBody]] = {
    "gains": lambda input_dim, output_dim, generator: Gains(input_dim),
    "low_rank_16": lambda input_dim, output_dim, generator: LowRankUpdate(input_dim, 16, generator),
    "low_rank_64": lambda input_dim, output_dim, generator: LowRankUpdate(input_dim, 64, generator),
    "linear": lambda input_dim, output_dim, generator: Linear(input_dim, output_dim),
    "mlp": TwoLayer,
}
