"""The stencil cell as a module: its parameters and their initial values."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from core_engine import grow_cells
from core_engine_kernels.bundled_cell import BundledCell
from core_engine_kernels.stencil.rollout import rollout
from core_engine_kernels.stencil.spec import CellSpec

#: Standard deviations of an untrained cell's positions. At 3 GELU gives 0.1 % of its input, and its gradient is 1 % of
#: that of an active one.
_QUIET = 3.0


class StencilCell(BundledCell):
    """Kernel in which all cells share one small network.

    For each cell, with state ``s [C]``, drive ``d [E]`` and hidden layer ``h [H]``, in each step t = 0 ... T - 1::

        s = s + state_noise * n(t)
        h = act(sum_k state_weight[:, k] s_k + drive_weight d + hidden_bias + position[cell]) * r(t)
        u = update_weight h + update_bias
        residual:  s = s + m(t) u
        gated:     s = s + m(t) sigmoid(gate_weight h + gate_bias) * u

    ``s_k`` are the states, noise included, of the cell itself and its neighbours, in the order of
    :attr:`CellSpec.offsets`: K = 7, or 27 with ``neighbours: 26``; outside the lattice they are zero, or with
    ``boundary: periodic`` those of the opposite face. All cells update at once. ``n(t)`` is drawn by
    :func:`core_engine.core.noise.normal` from (seed, sample, t, element).

    ``r(t) [H]`` and the number ``m(t)`` are 1 in evaluation. In training, each value of ``r`` is 0 with probability
    ``dropout`` and else ``1 / (1 - dropout)`` (Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a
    simple way to prevent neural networks from overfitting", 2014), and ``m`` is ``1 / update_probability`` with that
    probability and else 0 (the stochastic cell update of Mordvintsev, Randazzo, Niklasson and Levin, "Growing Neural
    Cellular Automata", 2020, with a factor). So a step's expected update is, given the hidden layer that it starts
    from, the one of evaluation; with ``gated`` and dropout, where it is no linear function of ``h``, about so.
    :mod:`core_engine_kernels.stencil.masks` says how they are drawn.

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

    def __init__(self, spec: CellSpec, *, size: tuple[int, int, int], seed: int) -> None:
        spread = (len(spec.offsets) * spec.channels + spec.drive_channels) ** -0.5
        std = {"state_weight": spread, "drive_weight": spread, "position": 1.0}
        super().__init__(spec, size=size, seed=seed, std=std)
        self._size = size

    @property
    def spec(self) -> CellSpec:
        """What the cell is in the mode that it is in, for backends too: in evaluation it leaves nothing out."""
        return self._spec if self.training else self._spec_in_evaluation

    @spec.setter
    def spec(self, spec: object) -> None:
        assert isinstance(spec, CellSpec), "given by __init__"  # noqa: S101
        # Two that stay, and not one that changes with the mode: torch.compile makes a variable of a number that
        # changes, which it cannot follow into what ``memory`` has computed again.
        self._spec, self._spec_in_evaluation = spec, spec.in_evaluation()

    @property
    def periodic(self) -> bool:
        """Whether the lattice closes on itself."""
        return self.spec.periodic

    @property
    def neighbours(self) -> int:
        """Cells that a cell sees besides itself: 6 or 26."""
        return self.spec.neighbours

    def grown(self, weights: Mapping[str, Tensor], size: tuple[int, int, int]) -> dict[str, Tensor]:
        """The weights of this cell on a smaller lattice, for this one.

        New cells are told where they are as the old ones next to them are. Outside a lattice that does not close on
        itself cells have seen zeros so far, so there the new ones start quiet: with a hidden layer that is hardly
        active, and can still learn to be.
        """
        grown = dict(weights)
        if "position" in grown:
            old = grown["position"]
            new = grow_cells(old, self._size, "nearest")
            if not self.periodic:
                new -= _QUIET
                new[: size[0], : size[1], : size[2]] = old
            grown["position"] = new
        return grown

    def advance(
        self, state: Tensor, drive: Tensor, first_step: int, steps: int, seed: int, sample_ids: Tensor
    ) -> Tensor:
        """The reference rollout, see :mod:`core_engine_kernels.stencil.rollout`."""
        return rollout(self.spec, dict(self.named_parameters()), state, drive, first_step, steps, seed, sample_ids)
