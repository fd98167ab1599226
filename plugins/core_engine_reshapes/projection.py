"""Learned linear maps between embedding and lattice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import structlog
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core_engine import ReshapeContext, grow_cells
from core_engine_reshapes.axes import principal_axes, random_axes
from core_engine_reshapes.moments import ROWS

log = structlog.get_logger("core_engine.reshapes")

Init = Literal["orthogonal", "principal", "whitening"]

#: Whitening adds this share of the axes' average mean square to each, so that none is made more than ten times larger.
WHITENING_RIDGE = 0.01


class ProjectionReshape(nn.Module):
    """Linear maps without bias, onto the ``K = X Y Z channels`` values of the lattice in row-major order and back::

        lattice = (weight_in + up_in down_in) z,      output = (weight_out + up_out down_out) lattice

    ============================  ===========================  ====================================================
    ``weight_in``                 ``[K, D_in]``                learned where ``rank`` is None, else a fixed buffer
    ``weight_out``                ``[D_out, K]``               likewise
    ``up_in``, ``down_in``        ``[K, r]``, ``[r, D_in]``    only with ``rank: r`` > 0; 0 and N(0, 1 / D_in)
    ``up_out``, ``down_out``      ``[D_out, r]``, ``[r, K]``   likewise; 0 and N(0, 1 / K)
    ============================  ===========================  ====================================================

    ``init: orthogonal``: ``weight_in`` is a random rotation, drawn from a generator seeded by ``context.seed``.
    ``init: principal``: :meth:`fit` sets its rows to the principal axes of the training inputs, the largest first;
    until then they are the coordinate axes. ``weight_out`` is its transpose; where input and output have different
    dimensions it is a rotation of its own, or the transpose of the targets' principal axes.
    ``init: whitening``: those axes in units of their size: row ``k`` divided by ``s_k = sqrt(l_k + 0.01 mean(l))`` with
    the mean squares ``l`` of the training inputs along the K axes, and column ``k`` of ``weight_out`` multiplied by it.

    With ``D_in = D_out <= K`` the untrained round trip is exact up to rounding. With fewer values than dimensions it
    loses what is outside the K axes; :meth:`fit` logs the share of the training inputs' mean square that is kept.
    ``input_cells``, ``output_cells``: all cells, bool ``[X, Y, Z]``.
    """

    input_cells: Tensor
    output_cells: Tensor
    weight_in: Tensor
    weight_out: Tensor

    def __init__(self, context: ReshapeContext, channels: int, init: Init, rank: int | None) -> None:
        super().__init__()
        self.channels = channels
        self.size = context.size
        self.init = init
        self.rank = rank
        self.same_dim = context.input_dim == context.output_dim
        values = context.cells * channels
        source = torch.Generator().manual_seed(context.seed)

        def axes(dim: int) -> Tensor:
            return random_axes(values, dim, source) if init == "orthogonal" else torch.eye(values, dim)

        weight_in = axes(context.input_dim).float()
        weight_out = (weight_in if self.same_dim else axes(context.output_dim).float()).T.clone()
        if rank is None:
            self.weight_in, self.weight_out = nn.Parameter(weight_in), nn.Parameter(weight_out)
        else:
            self.register_buffer("weight_in", weight_in)
            self.register_buffer("weight_out", weight_out)
        if rank:

            def drawn(dim: int) -> nn.Parameter:
                return nn.Parameter(torch.randn(rank, dim, generator=source) * dim**-0.5)

            self.up_in, self.down_in = nn.Parameter(torch.zeros(values, rank)), drawn(context.input_dim)
            self.up_out, self.down_out = nn.Parameter(torch.zeros(context.output_dim, rank)), drawn(values)
        self.register_buffer("input_cells", torch.ones(context.size, dtype=torch.bool), persistent=False)
        self.register_buffer("output_cells", torch.ones(context.size, dtype=torch.bool), persistent=False)

    @torch.no_grad()
    def fit(self, inputs: Tensor, targets: Tensor) -> None:
        """Sets both maps, unless they are random. inputs ``[n, D_in]``, targets ``[n, D_out]``, normalised."""
        axes = self.weight_in
        if self.init != "orthogonal":
            axes, scale = self._axes_and_scale(inputs)
            self.weight_in.copy_(axes / scale[:, None])
            out, scale = (axes, scale) if self.same_dim else self._axes_and_scale(targets)
            self.weight_out.copy_(out.T * scale)
        axes = axes.to(inputs.device)
        kept = whole = torch.zeros((), dtype=torch.float64, device=inputs.device)
        for block in inputs.split(ROWS):
            kept = kept + (block.to(axes.dtype) @ axes.T).square().sum()
            whole = whole + block.square().sum()
        log.info("projection fitted", init=self.init, share_of_input_kept=round((kept / whole).item(), 4))

    def _axes_and_scale(self, data: Tensor) -> tuple[Tensor, Tensor]:
        """Principal axes of ``data [n, D]``, ``[K, D]``, and what values along them are divided by, ``[K]``."""
        axes, squares = principal_axes(data, len(self.weight_in))
        if self.init == "principal":
            return axes, torch.ones_like(squares)
        return axes, (squares + WHITENING_RIDGE * squares[: data.shape[1]].mean()).sqrt()

    def grown(self, weights: Mapping[str, Tensor], size: tuple[int, int, int]) -> dict[str, Tensor]:
        """The maps of a smaller lattice, for this one: zero where they lead into new cells or out of them."""

        def by_cell(rows: Tensor) -> Tensor:
            """``[k, d] -> [K, d]``"""
            cells = rows.reshape(*size, self.channels, -1)
            return grow_cells(cells, self.size, "zero").flatten(0, 3)

        grown = dict(weights)
        for name in ("weight_in", "up_in"):
            if name in grown:
                grown[name] = by_cell(grown[name])
        for name in ("weight_out", "down_out"):
            if name in grown:
                grown[name] = by_cell(grown[name].T).T.contiguous()
        return grown

    def to_lattice(self, embedding: Tensor) -> Tensor:
        """``[B, D_in] -> [B, X, Y, Z, channels]``"""
        values = F.linear(embedding, self.weight_in)
        if self.rank:
            values = values + F.linear(F.linear(embedding, self.down_in), self.up_in)
        return values.reshape(len(values), *self.size, self.channels)

    def from_lattice(self, values: Tensor) -> Tensor:
        """``[B, X, Y, Z, channels] -> [B, D_out]``"""
        values = values.flatten(1)
        output = F.linear(values, self.weight_out)
        if self.rank:
            output = output + F.linear(F.linear(values, self.down_out), self.up_out)
        return output

    def extra_repr(self) -> str:
        return f"size={self.size}, channels={self.channels}, init={self.init!r}, rank={self.rank}"
