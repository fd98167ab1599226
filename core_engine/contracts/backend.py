"""What computes a kernel's rollout in place of the kernel's own plain PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    import torch
    from torch import Tensor


#: Words that ``lattice.backend`` takes beside the names of backends: the fastest, and the kernel's own rollout.
AUTO, REFERENCE = "auto", "reference"


@frozen
class RolloutCase:
    """What a backend is asked to compute.

    ``spec``: the kernel's description of its cell, such as ``core_engine_kernels.stencil.spec.CellSpec``; None for a
    kernel that has none. ``size``: cells along x, y, z. ``dtype`` is that of state and drive.
    """

    spec: object
    size: tuple[int, int, int]
    batch: int
    steps: int
    dtype: torch.dtype
    device: torch.device


class Backend(Protocol):
    """One implementation of a kernel's rollout, forward and backward.

    ``tolerance``: the largest relative L2 error against the reference, in the output and in every gradient, that is
    rounding and not a mistake. ``priority``: of the backends that support a case, ``backend: auto`` takes the one with
    the highest.
    """

    tolerance: float
    priority: int

    def supports(self, case: RolloutCase) -> str | None:
        """None, or in a few words why not; asked once, before the first rollout."""
        ...

    def rollout(
        self,
        spec: object,
        parameters: Mapping[str, Tensor],
        state: Tensor,
        drive: Tensor,
        steps: int,
        seed: int,
        sample_ids: Tensor,
        memory: int | None,
    ) -> Tensor:
        """State ``[B, X, Y, Z, C]`` after ``steps`` steps, differentiable in state, drive and parameters.

        ``parameters`` are the kernel's, by name. ``memory``: of the states, keep every such one for the backward pass
        and compute the others, and all within a step, again; None: whatever is fastest. An input that the backend does
        not support is an EngineError, never a detour.
        """
        ...
