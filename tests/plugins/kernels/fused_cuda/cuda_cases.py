"""Cases on which kernels are compared with the reference, and the comparison."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from attrs import frozen
from core_engine_kernels.fused_cuda import backward_pass, forward_pass
from core_engine_kernels.fused_cuda.launcher import Launcher
from core_engine_kernels.stencil.rollout import rollout
from core_engine_kernels.stencil.spec import CellSpec
from matched_reference import Matched
from torch import Tensor

SEED = 5


@frozen(eq=False)
class CudaCase:
    """A cell with random parameters, and what it is run on."""

    spec: CellSpec
    parameters: list[Tensor]
    state: Tensor
    drive: Tensor
    sample_ids: Tensor
    grad: Tensor
    steps: int
    every: int

    @property
    def names(self) -> list[str]:
        x, y, z = self.state.shape[1:4]
        return list(self.spec.parameter_shapes((x, y, z)))


def make_case(
    spec: CellSpec,
    size: tuple[int, int, int],
    batch: int,
    steps: int,
    every: int = 1,
    dtype: torch.dtype = torch.float32,
) -> CudaCase:
    """Weights as an early training leaves them: full ones into the hidden layer, updates of a third of the state."""
    source = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source)

    spread = (7 * spec.channels + spec.drive_channels) ** -0.5
    scale = {"state_weight": spread, "drive_weight": spread, "position": 1.0}
    out = 0.3 * spec.hidden**-0.5
    return CudaCase(
        spec,
        [scale.get(name, out) * normal(*shape) for name, shape in spec.parameter_shapes(size).items()],
        normal(batch, *size, spec.channels).to(dtype),
        normal(batch, *size, spec.drive_channels).to(dtype),
        torch.arange(batch) * 7 + 3,
        normal(batch, *size, spec.channels).to(dtype),
        steps,
        every,
    )


def run_forward(launcher: Launcher, case: CudaCase) -> dict[str, Tensor]:
    """``final`` and ``kept``."""
    inputs = (case.spec, case.parameters, case.state, case.drive, case.sample_ids)
    final, kept = forward_pass.run(launcher, *inputs, case.steps, SEED, case.every, True)
    return {"final": final, "kept": kept}


def run_backward(launcher: Launcher, case: CudaCase, kept: Tensor) -> dict[str, Tensor]:
    """The gradients by name."""
    inputs = (case.spec, case.parameters, case.state, case.drive, case.sample_ids)
    state, drive, parameters = backward_pass.run(launcher, *inputs, kept, case.grad, case.steps, SEED, case.every)
    return {"state": state, "drive": drive, **dict(zip(case.names, parameters, strict=True))}


def run_case(launcher: Launcher, case: CudaCase) -> dict[str, Tensor]:
    """``final``, ``kept`` and the gradients by name."""
    forward = run_forward(launcher, case)
    return forward | run_backward(launcher, case, forward["kept"])


def exact(case: CudaCase) -> dict[str, Tensor]:
    """The reference in float64, and autograd's gradients."""
    inputs = [value.double().requires_grad_() for value in (case.state, case.drive, *case.parameters)]
    state, drive, *parameters = inputs
    named = dict(zip(case.names, parameters, strict=True))
    final = rollout(case.spec, named, state, drive, 0, case.steps, SEED, case.sample_ids)
    gradients = torch.autograd.grad(final, inputs, case.grad.double())
    return {"final": final.detach(), **dict(zip(["state", "drive", *case.names], gradients, strict=True))}


def matched(case: CudaCase) -> dict[str, Tensor]:
    """The reference with the kernels' roundings to bf16."""
    reference = Matched(case.spec, case.parameters, case.state, case.drive, case.sample_ids, SEED)
    states = reference.rollout(reference.state, 0, case.steps)
    kept = [states[step].float().bfloat16() for step in range(case.every, case.steps, case.every)]
    result = {"final": states[-1], **reference.gradients(case.grad, case.steps, case.every)}
    if kept:
        result["kept"] = torch.stack(kept)
    return result


def errors(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, float]:
    """Relative L2 error of everything that is wanted."""
    found = {}
    for name, value in wanted.items():
        if value.numel():
            difference = (given[name].double() - value.double()).norm() / value.double().norm()
            found[name] = float(difference) if bool(difference.isfinite()) else float("inf")
    return found
