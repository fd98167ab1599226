"""Forward, on any launcher; :func:`core_engine_kernels.fused_cuda.rollout.forward` states arguments and result."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_int

import torch
from torch import Tensor

from core_engine_kernels.fused_cuda.launcher import Launcher
from core_engine_kernels.fused_cuda.prepared import Prepared, prepare, wide
from core_engine_kernels.stencil.spec import CellSpec


def run(
    launcher: Launcher,
    spec: CellSpec,
    parameters: Sequence[Tensor],
    state: Tensor,
    drive: Tensor,
    sample_ids: Tensor,
    steps: int,
    seed: int,
    every: int,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """Final state and kept states."""
    prepared = prepare(launcher, spec, parameters, state, drive, sample_ids, seed)
    kept = state.new_empty(((steps - 1) // every if keep else 0, *state.shape), dtype=torch.bfloat16)
    final = torch.empty_like(prepared.state)
    advance(prepared, prepared.state, final, kept, 0, steps, every)
    return final, kept


def advance(
    prepared: Prepared, state: Tensor, final: Tensor, kept: Tensor, first_step: int, steps: int, every: int
) -> None:
    """Writes ``final``, the state after ``steps`` steps from ``first_step`` on, and ``kept``, which may be empty."""
    if prepared.plan.forward.resident:
        _resident(prepared, state, final, kept, first_step, steps, every)
    else:
        _stepwise(prepared, state, final, kept, first_step, steps, every)


def _resident(
    prepared: Prepared, state: Tensor, final: Tensor, kept: Tensor, first_step: int, steps: int, every: int
) -> None:
    launch = prepared.plan.forward
    numbers = (c_int(number) for number in (prepared.batch, launch.group, steps, every))
    noise = prepared.noise(first_step)
    states = (state, wide(state), final, wide(final))
    arguments = (*states, *prepared.network, kept if len(kept) else None, prepared.lattice, *numbers, noise)
    grid = launch.grid(prepared.batch, prepared.cells, prepared.launcher.gpu)
    prepared.launcher.launch(launch.variant, grid, launch.shared, arguments)


def _stepwise(
    prepared: Prepared, state: Tensor, final: Tensor, kept: Tensor, first_step: int, steps: int, every: int
) -> None:
    launch = prepared.plan.forward
    master = state.float() if state.dtype != torch.float32 else state.clone()
    grid = launch.grid(prepared.batch, prepared.cells, prepared.launcher.gpu)
    read = state.bfloat16()
    scratch = [torch.empty_like(state, dtype=torch.bfloat16) for _ in range(2)]
    for step in range(steps):
        if prepared.spec.state_noise:
            read = prepared.read_by(first_step + step, master)
        # What neighbours read in the next step is also what is kept of its state.
        slot, rest = divmod(step + 1, every)
        following = kept[slot - 1] if rest == 0 and slot <= len(kept) else scratch[step % 2]
        arguments = (master, read, following, *prepared.network, prepared.lattice, c_int(prepared.batch))
        prepared.launcher.launch(launch.variant, grid, launch.shared, arguments)
        read = following
    final.copy_(master)
