"""Values laid out cell by cell."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core_engine import ReshapeContext


class LinearReshape(nn.Module):
    """Value ``i`` goes to flat position ``i`` of the row-major ``[X, Y, Z, channels]``, and comes back from there::

        channel = i % channels,  z = (i // channels) % Z,  y = (i // (channels Z)) % Y,  x = i // (channels Z Y)

    The positions after the last value are zero on the way in and not read on the way out, so the round trip is exact.
    Holds no parameters. ``input_cells``, ``output_cells``: bool ``[X, Y, Z]``, the cells that hold at least one value.
    """

    input_cells: Tensor
    output_cells: Tensor

    def __init__(self, context: ReshapeContext, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.size = context.size
        self.output_dim = context.output_dim
        self.padding = context.cells * channels - context.input_dim
        first_value = torch.arange(context.cells).reshape(context.size) * channels
        self.register_buffer("input_cells", first_value < context.input_dim, persistent=False)
        self.register_buffer("output_cells", first_value < context.output_dim, persistent=False)

    def fit(self, inputs: Tensor, targets: Tensor) -> None:
        """Nothing to fit."""

    def grown(self, weights: Mapping[str, Tensor], size: tuple[int, int, int]) -> dict[str, Tensor]:
        """There are none. ValueError where the values would lie in other cells than in a lattice of ``size``."""
        if size[1:] != self.size[1:]:
            raise ValueError(
                f"values are laid out row by row, so that a lattice of {list(size)} cells can grow along x alone, "
                f"to [..., {size[1]}, {size[2]}]"
            )
        return dict(weights)

    def to_lattice(self, embedding: Tensor) -> Tensor:
        """``[B, D_in] -> [B, X, Y, Z, channels]``"""
        return F.pad(embedding, (0, self.padding)).reshape(len(embedding), *self.size, self.channels)

    def from_lattice(self, values: Tensor) -> Tensor:
        """``[B, X, Y, Z, channels] -> [B, D_out]``"""
        return values.flatten(1)[:, : self.output_dim]

    def extra_repr(self) -> str:
        return f"size={self.size}, channels={self.channels}, padding={self.padding}"
