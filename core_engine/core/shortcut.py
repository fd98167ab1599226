"""What a core has beside its lattice: a gain for each principal axis of the inputs, and a linear map of low rank."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core_engine.core.low_rank import LowRank
from core_engine.core.regression import regression
from core_engine.memory.tables import cross_products

#: A gain moves this many times as far in a step as another parameter: the gains are found before what is learned beside
#: them has fitted the training rows. An offset moves few units of length, and so less.
_GAIN_PACE, _OFFSET_PACE = 40.0, 6.0


class Shortcut(nn.Module):
    """``[B, D_in] -> [B, D_out]``, normalised rows, in the coordinates of the training inputs' principal axes V::

        c = V z
        c = (1 + 40 gains) * c,  and of its first m values:  c[:m] + low_rank(V z [:m])
        y = readout c + 6 offset

    ``readout`` is Vᵀ where D_in = D_out, so that the shortcut starts as the identity; else the
    :func:`regression <core_engine.core.regression.regression>` of the targets on V z, as which it then starts. Gains
    ``[D_in]``, offset ``[D_out]`` and the :class:`low-rank map <core_engine.core.low_rank.LowRank>` of ``rank`` (none
    if 0) start at zero.

    m = min(D_in, ``width``): the axes of least variance have gains alone, so that a wide embedding takes no more than
    2 m rank + D_in + D_out parameters. V and the readout are :meth:`fitted <fit>`, and stay.
    """

    axes: Tensor
    regression: Tensor | None

    def __init__(self, input_dim: int, output_dim: int, rank: int, width: int, seed: int) -> None:
        super().__init__()
        self.width = min(input_dim, width)
        self.gains = nn.Parameter(torch.zeros(input_dim))
        self.offset = nn.Parameter(torch.zeros(output_dim))
        self.low_rank = LowRank(self.width, self.width, rank, seed) if rank else None
        self.register_buffer("axes", torch.eye(input_dim))
        same = input_dim == output_dim
        self.register_buffer("regression", None if same else torch.eye(output_dim, input_dim))

    @torch.no_grad()
    def fit(self, inputs: Tensor, targets: Tensor) -> None:
        """With the training split's normalised ``[n, D_in]`` and ``[n, D_out]``. Solved in float64."""
        vectors = torch.linalg.eigh(cross_products(inputs, inputs)).eigenvectors.flip(1)  # the largest first
        # An axis points so that its entry of largest size is positive: one set of data has one result.
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
        self.axes.copy_(vectors.T)
        if self.regression is not None:
            self.regression.copy_((vectors.T @ regression(inputs, targets)).T)

    def forward(self, values: Tensor) -> Tensor:
        coordinates = F.linear(values, self.axes)
        result = coordinates + _GAIN_PACE * self.gains * coordinates
        if self.low_rank is not None:
            mixed = self.low_rank(coordinates[:, : self.width])
            result = result + F.pad(mixed, (0, len(self.gains) - self.width))
        readout = self.axes.T if self.regression is None else self.regression
        return F.linear(result, readout, _OFFSET_PACE * self.offset)

    def extra_repr(self) -> str:
        return f"{len(self.gains)} -> {len(self.offset)}, width={self.width}"
