"""Values laid out cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from core_engine import ReshapeContext
from core_engine_reshapes.arrangement import Order, Size, by_correlation, by_variance, places


class LinearReshape(nn.Module):
    """Each value has a place of its own in the row-major ``[X, Y, Z, channels]``, and comes back from there.

    ``order: given``: value ``i`` has flat position ``i``::

        channel = i % channels,  z = (i // channels) % Z,  y = (i // (channels Z)) % Y,  x = i // (channels Z Y)

    ``order: variance``, ``order: correlation``: :meth:`fit` chooses the places, see :func:`by_variance` and
    :func:`by_correlation`. Both sides have the same ones, those of the training inputs; where their dimensions differ,
    the targets decide those of the output.

    Where no value lies, there is zero on the way in and nothing is read on the way out. With ``placement: volume`` the
    round trip is exact. With ``placement: surface`` values enter at z = 0 and are read at z = Z - 1, so that it gives
    zeros until steps have carried something across (unless Z is 1).

    Holds no parameters. ``position_in [D_in]``, ``position_out [D_out]``: flat positions, int64; part of the state dict
    where they are fitted. ``input_cells``, ``output_cells``: bool ``[X, Y, Z]``, the cells that hold at least one.
    """

    position_in: Tensor
    position_out: Tensor

    def __init__(
        self, context: ReshapeContext, channels: int, order: Order, placement: Literal["volume", "surface"]
    ) -> None:
        super().__init__()
        self.channels = channels
        self.size = context.size
        self.order = order
        self.placement = placement
        position_in, position_out = self._unfitted(context.size, context.input_dim, context.output_dim)
        self.register_buffer("position_in", position_in, persistent=order != "given")
        self.register_buffer("position_out", position_out, persistent=order != "given")

    def _unfitted(self, size: Size, input_dim: int, output_dim: int) -> tuple[Tensor, Tensor]:
        """Positions of the first value, the second, ... in a lattice of ``size``."""
        faces = (None, None) if self.placement == "volume" else (0, size[2] - 1)
        way_in, way_out = (places(size, self.channels, self.order, face) for face in faces)
        return way_in[:input_dim].clone(), way_out[:output_dim].clone()

    @property
    def input_cells(self) -> Tensor:
        return self._cells(self.position_in)

    @property
    def output_cells(self) -> Tensor:
        return self._cells(self.position_out)

    def _cells(self, position: Tensor) -> Tensor:
        cells = torch.zeros(self.size, dtype=torch.bool, device=position.device)
        cells.view(-1)[position // self.channels] = True
        return cells

    @torch.no_grad()
    def fit(self, inputs: Tensor, targets: Tensor) -> None:
        """Chooses the places, unless they are given. inputs ``[n, D_in]``, targets ``[n, D_out]``, normalised."""
        if self.order == "given":
            return
        position_in, position_out = self._unfitted(self.size, len(self.position_in), len(self.position_out))
        rank_in = self._ranks(inputs, position_in)
        same_dim = len(position_in) == len(position_out)
        rank_out = rank_in if same_dim else self._ranks(targets, position_out)
        self.position_in.copy_(position_in[rank_in])
        self.position_out.copy_(position_out[rank_out])

    def _ranks(self, data: Tensor, position: Tensor) -> Tensor:
        """``[D]``: for each dimension of ``data [n, D]``, which of the places ``position [D]`` it takes."""
        if self.order == "variance":
            return by_variance(data)
        return by_correlation(data, torch.stack(torch.unravel_index(position // self.channels, self.size), 1))

    def grown(self, weights: Mapping[str, Tensor], size: tuple[int, int, int]) -> dict[str, Tensor]:
        """Fitted places, in the same cells of this lattice.

        ValueError where it is smaller; where the places are given, and are other cells than in a lattice of ``size``;
        and where values leave by a face that is none any more.
        """
        if any(after < before for before, after in zip(size, self.size, strict=True)):
            raise ValueError(f"a lattice of {list(size)} cells cannot be carried over to a smaller one")
        if self.placement == "surface" and size[2] != self.size[2]:
            raise ValueError(f"values leave by the last face along z, so that it must stay at {size[2]} cells")
        if self.order == "given":
            if size[1:] != self.size[1:]:
                raise ValueError(
                    f"values are laid out row by row, so that a lattice of {list(size)} cells can grow along x alone, "
                    f"to [..., {size[1]}, {size[2]}]"
                )
            return dict(weights)
        return {name: self._moved(weights[name], size) for name in ("position_in", "position_out")}

    def _moved(self, position: Tensor, size: Size) -> Tensor:
        """Flat positions in a lattice of ``size`` as those of the same cells in this one."""
        x, y, z, channel = torch.unravel_index(position, (*size, self.channels))
        _, height, depth = self.size
        return ((x * height + y) * depth + z) * self.channels + channel

    def to_lattice(self, embedding: Tensor) -> Tensor:
        """``[B, D_in] -> [B, X, Y, Z, channels]``"""
        x, y, z = self.size
        values = embedding.new_zeros(len(embedding), x * y * z * self.channels)
        return values.index_copy(1, self.position_in, embedding).reshape(len(embedding), x, y, z, self.channels)

    def from_lattice(self, values: Tensor) -> Tensor:
        """``[B, X, Y, Z, channels] -> [B, D_out]``"""
        return values.flatten(1).index_select(1, self.position_out)

    def extra_repr(self) -> str:
        return f"size={self.size}, channels={self.channels}, order={self.order!r}, placement={self.placement!r}"
