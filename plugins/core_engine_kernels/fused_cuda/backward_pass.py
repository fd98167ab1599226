"""Backward, on any launcher; :func:`core_engine_kernels.fused_cuda.rollout.backward` states arguments and result."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_int

import torch
from attrs import frozen
from torch import Tensor

from core_engine_kernels.fused_cuda import forward_pass
from core_engine_kernels.fused_cuda.launcher import Launcher
from core_engine_kernels.fused_cuda.packing import unpack_gradients
from core_engine_kernels.fused_cuda.prepared import Prepared, prepare, wide
from core_engine_kernels.stencil.spec import CellSpec


@frozen(eq=False)
class _Sums:
    """Gradients that launches add to, float32: of state and drive, and, a part for each block, of the parameters."""

    state: Tensor
    drive: Tensor
    weight: Tensor
    bias: Tensor
    position: Tensor | None


def run(
    launcher: Launcher,
    spec: CellSpec,
    parameters: Sequence[Tensor],
    state: Tensor,
    drive: Tensor,
    sample_ids: Tensor,
    states: Tensor,
    grad: Tensor,
    steps: int,
    seed: int,
    every: int,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Gradients of state, drive and parameters."""
    prepared = prepare(launcher, spec, parameters, state, drive, sample_ids, seed)
    sums = _zeros(prepared, grad)
    for first in reversed(range(0, steps, every)):
        start = states[first // every - 1] if first else prepared.state
        some = min(every, steps - first)
        later = _states_within(prepared, start, first, some)
        if prepared.plan.backward.resident:
            _resident(prepared, sums, start, later, first)
        else:
            _stepwise(prepared, sums, [start, *later], first)
    drive_gradient = sums.drive[:, : spec.drive_channels].reshape(drive.shape).to(drive.dtype).contiguous()
    position = None if sums.position is None else sums.position.reshape(-1, prepared.cells, spec.hidden)
    gradients = unpack_gradients(spec, prepared.size, sums.weight, sums.bias, position)
    return sums.state.to(state.dtype), drive_gradient, gradients


def _zeros(prepared: Prepared, grad: Tensor) -> _Sums:
    """The incoming gradient, and zeros."""
    spec, launch = prepared.spec, prepared.plan.backward
    blocks, slots = launch.summing_grid(prepared.batch, prepared.cells, prepared.launcher.gpu)
    inputs, outputs = prepared.packed.input_weight.shape[1], len(prepared.packed.output_bias)

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, device=grad.device)

    return _Sums(
        grad.to(torch.float32, copy=True).contiguous(),
        zeros(*prepared.drive.shape),
        zeros(blocks, spec.hidden, inputs + outputs),
        zeros(blocks, launch.variant.warps * 8, outputs),
        zeros(slots * max(1, launch.group), prepared.cells, spec.hidden) if spec.position else None,
    )


def _states_within(prepared: Prepared, start: Tensor, first_step: int, steps: int) -> Tensor:
    """The states that enter a segment's steps after its first, computed again: bf16 ``[steps - 1, B, X, Y, Z, C]``."""
    states = start.new_empty((steps - 1, *start.shape), dtype=torch.bfloat16)
    if steps > 1:
        forward_pass.advance(prepared, start, states[-1], states[:-1], first_step, steps - 1, 1)
    return states


def _resident(prepared: Prepared, sums: _Sums, start: Tensor, later: Tensor, first_step: int) -> None:
    launch, gpu = prepared.plan.backward, prepared.launcher.gpu
    blocks, _ = launch.summing_grid(prepared.batch, prepared.cells, gpu)
    numbers = (c_int(number) for number in (prepared.batch, launch.group, len(later) + 1))
    gradients = (sums.state, sums.drive, sums.weight, sums.bias, sums.position)
    noise = prepared.noise(first_step)
    arguments = (start, wide(start), later, *prepared.network, *gradients, prepared.lattice, *numbers, noise)
    prepared.launcher.launch(launch.variant, blocks, launch.shared, arguments)


def _stepwise(prepared: Prepared, sums: _Sums, states: Sequence[Tensor], first_step: int) -> None:
    launch, pull, launcher = prepared.plan.backward, prepared.plan.pull, prepared.launcher
    assert pull is not None  # noqa: S101 - a plan has it wherever backward is not resident
    blocks, slots = launch.summing_grid(prepared.batch, prepared.cells, launcher.gpu)
    grid = pull.grid(prepared.batch, prepared.cells, launcher.gpu)
    lattice, batch = prepared.lattice, c_int(prepared.batch)
    dz = prepared.drive.new_empty((len(prepared.drive), prepared.spec.hidden))
    weights = prepared.network[1:4]
    for step in reversed(range(len(states))):
        state = states[step]
        # The float32 start is the caller's: the noise goes to a copy.
        read = prepared.read_by(first_step + step, state.clone() if state.dtype == torch.float32 else state)
        sweep = (read, *prepared.network, sums.state, dz, sums.weight, sums.bias, sums.position)
        launcher.launch(launch.variant, blocks, launch.shared, (*sweep, lattice, batch, c_int(slots)))
        back = (dz, *weights, sums.state, sums.drive, lattice, batch)
        launcher.launch(pull.variant, grid, pull.shared, back)
