"""One rollout and all its gradients, by the reference in float64 and by the library."""

from __future__ import annotations

from typing import Any

import torch
from attrs import frozen
from core_engine_kernels.fused_cpu.rollout import backward, forward
from core_engine_kernels.stencil.rollout import rollout
from core_engine_kernels.stencil.spec import CellSpec
from torch import Tensor

Size = tuple[int, int, int]
SEED = 2**62 + 11


@frozen(eq=False)
class Case:
    spec: CellSpec
    parameters: dict[str, Tensor]
    state: Tensor
    drive: Tensor
    cotangent: Tensor
    sample_ids: Tensor
    steps: int

    @classmethod
    def drawn(cls, spec: CellSpec, size: Size, batch: int, steps: int) -> Case:
        """Values away from zero, and rollouts that neither die out nor grow."""
        source = torch.Generator().manual_seed(5)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=source)

        parameters = {
            name: normal(*shape) * (1.0 if name == "position" else 0.5 * max(1, shape[-1]) ** -0.5)
            for name, shape in spec.parameter_shapes(size).items()
        }
        state, cotangent = normal(batch, *size, spec.channels), normal(batch, *size, spec.channels)
        drive = normal(batch, *size, spec.drive_channels)
        return cls(spec, parameters, state, drive, cotangent, torch.arange(batch) * 3 + 1, steps)

    @property
    def values(self) -> list[Tensor]:
        return list(self.parameters.values())

    def by_reference(self, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """The result and every gradient."""
        leaves = {"state": self.state, "drive": self.drive, **self.parameters}
        leaves = {name: leaf.detach().to(dtype).requires_grad_() for name, leaf in leaves.items()}
        state, drive = leaves["state"], leaves["drive"]
        final = rollout(self.spec, leaves, state, drive, 0, self.steps, SEED, self.sample_ids)
        gradients = torch.autograd.grad(final, list(leaves.values()), self.cotangent.to(dtype))
        return {"final": final.detach(), **dict(zip(leaves, gradients, strict=True))}

    def by_library(self, isa: str | None = None, every: int = 1) -> dict[str, Tensor]:
        common: Any = (self.spec, self.values, self.state, self.drive, self.sample_ids)
        final, states = forward(*common, self.steps, SEED, every, True, isa)
        d_state, d_drive, d_parameters = backward(*common, states, self.cotangent, self.steps, SEED, every, isa)
        return {"final": final, "state": d_state, "drive": d_drive} | dict(
            zip(self.parameters, d_parameters, strict=True)
        )


def errors(given: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, float]:
    """Relative L2 errors."""
    assert given.keys() == wanted.keys()
    return {
        name: float((given[name].double() - wanted[name].double()).norm() / wanted[name].double().norm())
        for name in given
    }
