"""A backend beside the reference, on one batch: is this the cell it should be?"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from core_engine.contracts.backend import Backend, RolloutCase
from core_engine.core.cell_kernel import CellKernel

#: More samples would say nothing that these do not. A lattice of more cells than this takes its time: one sample of it.
_SAMPLES, _MANY_CELLS = 4, 4096

#: Where an activation has a kink, a hidden value within rounding of it may fall on either side, and its gradients are
#: others. That is rare, and does not happen in each of three draws; a mistake does.
_DRAWS = 3


def error_against_reference(
    kernel: CellKernel, backend: Backend, case: RolloutCase, channels: int, drive_channels: int, memory: int | None
) -> float:
    """The largest relative L2 error of the output and of every gradient; above the backend's tolerance, the smallest
    such of three draws.

    State and drive are standard normal, drawn for the purpose. The parameters are the kernel's with noise upon them:
    those of an untrained cell are largely zero, and hide mistakes.
    """
    error = math.inf
    # Whatever the caller has set up is none of the comparison's business.
    with torch.inference_mode(False), torch.autocast(case.device.type, enabled=False):
        for seed in range(_DRAWS):
            error = min(error, _error_of_draw(seed, kernel, backend, case, channels, drive_channels, memory))
            if error <= backend.tolerance:
                break
    return error


def _error_of_draw(
    seed: int,
    kernel: CellKernel,
    backend: Backend,
    case: RolloutCase,
    channels: int,
    drive_channels: int,
    memory: int | None,
) -> float:
    source = torch.Generator(device="cpu").manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source, device="cpu").to(case.device, case.dtype)

    probe = copy.deepcopy(kernel)
    with torch.no_grad():
        for parameter in probe.parameters():
            noise = drawn(*parameter.shape).to(parameter.dtype)
            parameter.add_(noise, alpha=0.1 * max(1, parameter.shape[-1] if parameter.dim() else 1) ** -0.5)
            parameter.requires_grad_()
    samples = min(case.batch, _SAMPLES if math.prod(case.size) <= _MANY_CELLS else 1)
    state, drive = drawn(samples, *case.size, channels), drawn(samples, *case.size, drive_channels)
    cotangent = drawn(samples, *case.size, channels)
    sample_ids = torch.arange(samples, device=case.device)

    def run(backend: Backend | None, memory: int | None) -> list[Tensor]:
        probe.backend, probe.memory = backend, memory
        inputs = [state.detach().requires_grad_(), drive.detach().requires_grad_()]
        parameters = list(probe.parameters())
        with torch.enable_grad():
            output = probe(*inputs, case.steps, 0, sample_ids)
            gradients = torch.autograd.grad(output, [*inputs, *parameters], cotangent, allow_unused=True)
        return [output.detach(), *(torch.zeros(()) if g is None else g for g in gradients)]

    return max(relative_error(given, wanted) for given, wanted in zip(run(backend, memory), run(None, 1), strict=True))


def relative_error(given: Tensor, wanted: Tensor) -> float:
    """``|given - wanted| / |wanted|`` (L2, in float64), infinite where it is no number; the norm of ``given`` where
    ``wanted`` is zero.
    """
    given, wanted = given.double(), wanted.double()
    norm = float(wanted.norm())
    error = float((given - wanted).norm()) / norm if norm else float(given.norm())
    return error if math.isfinite(error) else math.inf
