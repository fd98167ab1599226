"""What the fused backends of the stencil cell have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from core_engine_kernels.stencil.spec import CellSpec


def refusal_of_training(spec: CellSpec) -> str | None:
    """Why no fused backend computes what training leaves out; None where it leaves nothing out."""
    for option, value, without in (
        ("dropout", spec.dropout, 0),
        ("update_probability", spec.update_probability, 1),
    ):
        if value != without:
            return f"{option} {value:g}: in training only backend 'reference' computes it"
    return None


class FusedBackend:
    """A backend whose rollout is the stencil cell's operator, on whichever device the state is."""

    priority = 10

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
        """See :func:`core_engine_kernels.stencil.op.rollout`."""
        from core_engine_kernels.stencil.op import rollout
        from core_engine_kernels.stencil.spec import CellSpec

        assert isinstance(spec, CellSpec), "no other is supported"  # noqa: S101
        return rollout(spec, parameters, state, drive, steps, seed, sample_ids, memory)
