"""The stencil cell as a module: its parameters and their initial values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core_engine import CellKernel
from core_engine.errors import EngineError
from core_engine_kernels.stencil.rollout import rollout
from core_engine_kernels.stencil.spec import CellSpec


class StencilCell(CellKernel):
    """Kernel in which all cells share one small network.

    For each cell, with state ``s [C]``, drive ``d [E]`` and hidden layer ``h [H]``, in each step t = 0 ... T - 1::

        s = s + state_noise * n(t)
        h = act(sum_k state_weight[:, k] s_k + drive_weight d + hidden_bias + position[cell])
        u = update_weight h + update_bias
        residual:  s = s + u
        gated:     s = s + sigmoid(gate_weight h + gate_bias) * u

    ``s_k`` are the states, noise included, of the cell itself and its neighbours, in the order of
    :attr:`CellSpec.offsets`: K = 7, or 27 with ``neighbours: 26``; outside the lattice they are zero, or with
    ``boundary: periodic`` those of the opposite face. All cells update at once. ``n(t)`` is drawn by
    :func:`core_engine.core.noise.normal` from (seed, sample, t, element).

    Parameters, the same for every implementation of the rollout:

    ==================  ==================  ==================================================================
    ``state_weight``    ``[H, K, C]``       N(0, 1 / (K C + E))
    ``drive_weight``    ``[H, E]``          N(0, 1 / (K C + E))
    ``hidden_bias``     ``[H]``             0
    ``position``        ``[X, Y, Z, H]``    N(0, 1); only with ``position: true``
    ``update_weight``   ``[C, H]``          0
    ``update_bias``     ``[C]``             0
    ``gate_weight``     ``[C, H]``          0; only with ``update: gated``
    ``gate_bias``       ``[C]``             0; only with ``update: gated``
    ==================  ==================  ==================================================================

    An untrained cell thus leaves its state as it is, but for the noise, at any number of steps. The first step of
    training moves ``update_weight`` and ``update_bias`` alone, the second every parameter, the third every value of it
    (those that lead through channels which start empty come last). Positions start wide, so that cells differ from the
    start. Initial values are drawn on the CPU from a generator seeded by ``seed``.
    """

    spec: CellSpec

    def __init__(self, spec: CellSpec, *, size: tuple[int, int, int], seed: int) -> None:
        super().__init__()
        self.spec = spec
        self.size = size
        source = torch.Generator().manual_seed(seed)
        spread = (len(spec.offsets) * spec.channels + spec.drive_channels) ** -0.5
        std = {"state_weight": spread, "drive_weight": spread, "position": 1.0}
        for name, shape in spec.parameter_shapes(size).items():
            value = torch.randn(shape, generator=source) * std[name] if name in std else torch.zeros(shape)
            self.register_parameter(name, nn.Parameter(value))

    @property
    def periodic(self) -> bool:
        """Whether the lattice closes on itself."""
        return self.spec.periodic

    @property
    def neighbours(self) -> int:
        """Cells that a cell sees besides itself: 6 or 26."""
        return self.spec.neighbours

    def advance(
        self, state: Tensor, drive: Tensor, first_step: int, steps: int, seed: int, sample_ids: Tensor
    ) -> Tensor:
        """The reference rollout, see :mod:`core_engine_kernels.stencil.rollout`."""
        return rollout(self.spec, dict(self.named_parameters()), state, drive, first_step, steps, seed, sample_ids)

    def forward(self, state: Tensor, drive: Tensor, steps: int, seed: int, sample_ids: Tensor) -> Tensor:
        """State ``[B, X, Y, Z, C]`` after ``steps`` steps, in the dtype of ``state``; drive ``[B, X, Y, Z, E]``.

        EngineError where the shapes are not those the cell was built for.
        """
        channels, drive_channels = self.spec.channels, self.spec.drive_channels
        for name, given, width in (("state", state, channels), ("drive", drive, drive_channels)):
            if given.dim() != 5 or given.shape[1:] != (*self.size, width):
                wanted = ", ".join(str(length) for length in (*self.size, width))
                raise EngineError(f"{name} is {list(given.shape)}; this kernel takes [B, {wanted}]")
        return super().forward(state, drive, steps, seed, sample_ids)

    def extra_repr(self) -> str:
        return f"{self.spec}, size={self.size}"
