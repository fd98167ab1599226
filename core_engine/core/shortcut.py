"""What a core has beside its lattice: a gain for each of a number of axes, and a linear map of low rank."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core_engine.core.alignment import rotation
from core_engine.core.low_rank import LowRank
from core_engine.errors import DataError
from core_engine.memory.tables import cross_products

Axes = Literal["inputs", "differences"]

#: A gain moves this many times as far in a step as another parameter: the gains are found before what is learned beside
#: them has fitted the training rows. An offset moves few units of length, and so less.
_GAIN_PACE, _OFFSET_PACE = 40.0, 6.0
#: Differences of a smaller mean square, of targets with one of 1, are rounding.
_SMALLEST_DIFFERENCE = 1e-9


class Shortcut(nn.Module):
    """``[B, D_in] -> [B, D_out]``, normalised rows, in the coordinates of D_out orthonormal axes V::

        a = z,  or where D_in != D_out  R z
        c = V a
        y = a + Vᵀ (40 gains * c,  and in its first m values  + low_rank(c[:m])) + 6 offset

    R is sqrt(D_out / D_in) times the :func:`rotation <core_engine.core.alignment.rotation>` that brings the training
    inputs nearest to their targets: of more dimensions than D_out, what is outside its range is lost. Gains
    ``[D_out]``, offset ``[D_out]`` and the :class:`low-rank map <core_engine.core.low_rank.LowRank>` of ``rank`` (none
    if 0) start at zero, and so the shortcut as ``a``.

    ``axes``: V are the principal axes, the largest first, of a over the training rows (``inputs``), or of their
    targets less a (``differences``). What tells a pair apart from another is small along the former's last axes, what
    one pair differs by within itself along the latter's: gains of these can weight each direction by how far it is to
    be trusted, as within-class covariance normalisation does (Hatch, Kajarekar and Stolcke, 2006).

    m = min(D_out, ``width``): the other axes have gains alone, so that a wide embedding takes no more than
    2 m rank + 2 D_out parameters. R and V are :meth:`fitted <fit>`, and stay. With fewer training rows than dimensions
    the axes along which nothing differs come last, and which they are among themselves is the solver's choice.
    """

    axes: Tensor
    alignment: Tensor | None

    def __init__(self, input_dim: int, output_dim: int, rank: int, width: int, axes: Axes, seed: int) -> None:
        super().__init__()
        self.width = min(output_dim, width)
        self.axes_of = axes
        self.gains = nn.Parameter(torch.zeros(output_dim))
        self.offset = nn.Parameter(torch.zeros(output_dim))
        self.low_rank = LowRank(self.width, self.width, rank, seed) if rank else None
        self.register_buffer("axes", torch.eye(output_dim))
        same = input_dim == output_dim
        self.register_buffer("alignment", None if same else torch.eye(output_dim, input_dim))

    @torch.no_grad()
    def fit(self, inputs: Tensor, targets: Tensor) -> None:
        """With the training split's normalised ``[n, D_in]`` and ``[n, D_out]``. Solved in float64.

        DataError where the axes of differences are asked for and there are none.
        """
        products = cross_products(inputs, inputs)
        cross = None if self.axes_of == "inputs" else cross_products(inputs, targets)
        if self.alignment is not None:
            # Normalised rows have a mean square of 1 on each side.
            turn = rotation(inputs, targets) * (len(self.offset) / inputs.shape[1]) ** 0.5
            self.alignment.copy_(turn.T)
            products = turn.T @ products @ turn
            cross = None if cross is None else turn.T @ cross
        if cross is not None:
            products = products + cross_products(targets, targets) - cross - cross.T
            if products.trace() < _SMALLEST_DIFFERENCE * targets.numel():
                raise DataError(
                    "inputs and targets are equal in all training rows, so their differences have no axes; set "
                    "lattice.shortcut.axes to inputs"
                )
        vectors = torch.linalg.eigh(products).eigenvectors.flip(1)  # the largest first
        # An axis points so that its entry of largest size is positive: one set of data has one result.
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
        self.axes.copy_(vectors.T)

    def forward(self, values: Tensor) -> Tensor:
        aligned = values if self.alignment is None else F.linear(values, self.alignment)
        coordinates = F.linear(aligned, self.axes)
        change = _GAIN_PACE * self.gains * coordinates
        if self.low_rank is not None:
            mixed = self.low_rank(coordinates[:, : self.width])
            change = change + F.pad(mixed, (0, len(self.gains) - self.width))
        return aligned + F.linear(change, self.axes.T, _OFFSET_PACE * self.offset)

    def extra_repr(self) -> str:
        return f"{len(self.offset)} axes of {self.axes_of}, width={self.width}"
