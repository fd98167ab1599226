"""The stencil cell as a module: its parameters and their initial values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core_engine import KernelContext
from core_engine.errors import EngineError
from core_engine_kernels.stencil import Stencil
from core_engine_kernels.stencil_rollout import rollout


class StencilCell(nn.Module):
    """Kernel in which all cells share one small network.

    For each cell, with state ``s [C]``, drive ``d [E]`` and hidden layer ``h [H]``, in each step t = 0 ... T - 1::

        s = s + state_noise * n(t)
        h = act(sum_k state_weight[:, k] s_k + drive_weight d + hidden_bias + position[cell])
        u = update_weight h + update_bias
        residual:  s = s + u
        gated:     s = s + sigmoid(gate_weight h + gate_bias) * u

    ``s_k`` are the states, noise included, of the cell itself and its neighbours, in the order self, x - 1, x + 1,
    y - 1, y + 1, z - 1, z + 1; outside the lattice they are zero, or with ``boundary: periodic`` those of the opposite
    face. All cells update at once. ``n(t)`` is drawn by :func:`core_engine.core.noise.normal` from
    (seed, sample, t, element).

    Parameters, the same for every implementation of the rollout:

    ==================  ==================  ==================================================================
    ``state_weight``    ``[H, 7, C]``       N(0, 1 / (7 C + E))
    ``drive_weight``    ``[H, E]``          N(0, 1 / (7 C + E))
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
    start. Initial values are drawn on the CPU from a generator seeded by ``context.seed``.
    """

    def __init__(self, spec: Stencil, context: KernelContext) -> None:
        super().__init__()
        self.spec = spec
        self.size = context.size
        self.channels = context.channels
        self.drive_channels = context.drive_channels
        hidden, channels, drive = spec.hidden, context.channels, context.drive_channels
        source = torch.Generator().manual_seed(context.seed)
        spread = (7 * channels + drive) ** -0.5

        def drawn(*shape: int, std: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=source) * std)

        def zeros(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(shape))

        self.state_weight = drawn(hidden, 7, channels, std=spread)
        self.drive_weight = drawn(hidden, drive, std=spread)
        self.hidden_bias = zeros(hidden)
        if spec.position:
            self.position = drawn(*context.size, hidden, std=1.0)
        self.update_weight = zeros(channels, hidden)
        self.update_bias = zeros(channels)
        if spec.update == "gated":
            self.gate_weight = zeros(channels, hidden)
            self.gate_bias = zeros(channels)

    @property
    def periodic(self) -> bool:
        """Whether the lattice closes on itself."""
        return self.spec.boundary == "periodic"

    def forward(self, state: Tensor, drive: Tensor, steps: int, seed: int, sample_ids: Tensor) -> Tensor:
        """State ``[B, X, Y, Z, C]`` after ``steps`` steps, in the dtype of ``state``; drive ``[B, X, Y, Z, E]``.

        EngineError where the shapes are not those the kernel was built for.
        """
        for name, given, channels in (("state", state, self.channels), ("drive", drive, self.drive_channels)):
            if given.dim() != 5 or given.shape[1:] != (*self.size, channels):
                wanted = ", ".join(str(length) for length in (*self.size, channels))
                raise EngineError(f"{name} is {list(given.shape)}; this kernel takes [B, {wanted}]")
        return rollout(self.spec, dict(self.named_parameters()), state, drive, steps, seed, sample_ids)

    def extra_repr(self) -> str:
        return f"{self.spec}, size={self.size}, channels={self.channels}, drive_channels={self.drive_channels}"
