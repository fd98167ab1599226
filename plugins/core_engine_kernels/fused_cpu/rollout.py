"""The rollout and its gradients by the compiled library: tensors in, tensors out."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor

from core_engine.errors import EngineError
from core_engine_kernels.fused_cpu.library import (
    BackwardArguments,
    Case,
    ForwardArguments,
    Parameters,
    instruction_sets,
    load,
)
from core_engine_kernels.fused_cpu.limits import refusal
from core_engine_kernels.stencil.spec import Activation, CellSpec

_ACTIVATIONS = get_args(Activation)  # the order of the C enumeration


def forward(
    spec: CellSpec,
    parameters: Sequence[Tensor],
    state: Tensor,
    drive: Tensor,
    sample_ids: Tensor,
    steps: int,
    seed: int,
    every: int,
    keep: bool,
    isa: str | None = None,
) -> tuple[Tensor, Tensor]:
    """State ``[B, X, Y, Z, C]`` after ``steps`` steps (1 or more), and the kept states ``[K, B, X, Y, Z, C]``.

    All float32 on the CPU; ``parameters`` in the order of :meth:`CellSpec.parameter_shapes`; ``sample_ids`` int64
    ``[B]``. ``keep``: of the states that enter steps 1, 2, ..., keep every ``every``-th; else K is 0. ``isa``: name of
    the instruction set, by default the fastest. EngineError where a dtype is another or memory runs out.
    """
    tensors = _checked(spec, parameters, state, drive, sample_ids, steps, every)
    size = state.shape
    out = _empty(size)
    states = _empty(((steps - 1) // every if keep else 0, *size))
    if state.numel() == 0:
        return out, states
    case = _case(spec, size, drive, steps, seed, every, isa)
    arguments = ForwardArguments(*_pointers([*tensors[-3:], out]), states.data_ptr() if len(states) else None)
    _call(load().core_engine_stencil_forward, case, _parameters(spec, tensors[:-3]), arguments)
    return out, states


def backward(
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
    isa: str | None = None,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Gradients of state, drive and each parameter, from ``grad``, that of the result, and the states kept for it.

    EngineError as in :func:`forward`, and where the states were not kept.
    """
    tensors = _checked(spec, parameters, state, drive, sample_ids, steps, every)
    size = state.shape
    wanted = ((steps - 1) // every, *size)
    if states.shape != wanted or states.dtype != torch.float32 or not states.is_contiguous():
        raise EngineError(
            f"the kept states are {states.dtype} {list(states.shape)}, and the backward pass needs float32 "
            f"{list(wanted)}; the forward pass keeps them where it is called with keep=True"
        )
    if grad.shape != size or grad.dtype != torch.float32:
        raise EngineError(f"the gradient is {grad.dtype} {list(grad.shape)}; the result is float32 {list(size)}")
    d_state, d_drive = _empty(size), _empty(drive.shape)
    if state.numel() == 0:
        return d_state, d_drive, [torch.zeros_like(parameter) for parameter in parameters]
    grad = grad.contiguous()
    d_parameters = [_empty(parameter.shape) for parameter in parameters]
    case = _case(spec, size, drive, steps, seed, every, isa)
    arguments = BackwardArguments(*_pointers([*tensors[-3:], states, grad, d_state, d_drive]))
    _call(
        load().core_engine_stencil_backward,
        case,
        _parameters(spec, tensors[:-3]),
        arguments,
        _parameters(spec, d_parameters),
    )
    return d_state, d_drive, d_parameters


def _empty(shape: Sequence[int]) -> Tensor:
    """What the library writes to, whatever torch's default dtype and device are."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def _checked(
    spec: CellSpec,
    parameters: Sequence[Tensor],
    state: Tensor,
    drive: Tensor,
    sample_ids: Tensor,
    steps: int,
    every: int,
) -> list[Tensor]:
    """All of them contiguous: the parameters, then the other three. The library trusts what it is given."""
    if (reason := refusal(spec)) is not None:
        raise EngineError(f"backend 'fused_cpu': {reason}; use 'reference'")
    if steps < 1 or every < 1:
        raise EngineError(f"a rollout of {steps} steps that keeps every {every}-th state: both must be 1 or more")
    for tensor in (*parameters, state, drive):
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise EngineError(
                f"backend 'fused_cpu' computes in float32 on the CPU and was given {tensor.dtype} on {tensor.device}; "
                f"choose the backend again (use_backend) after moving or converting a core, or use 'reference'"
            )
    if state.dim() != 5 or state.shape[-1] != spec.channels:
        raise EngineError(f"state is {list(state.shape)}; this cell takes [B, X, Y, Z, {spec.channels}]")
    if drive.shape != (*state.shape[:-1], spec.drive_channels):
        wanted = [*state.shape[:-1], spec.drive_channels]
        raise EngineError(f"drive is {list(drive.shape)}; for a state {list(state.shape)} this cell takes {wanted}")
    shapes = list(spec.parameter_shapes((state.shape[1], state.shape[2], state.shape[3])).values())
    if [tuple(parameter.shape) for parameter in parameters] != shapes:
        raise EngineError(f"parameters are {[list(p.shape) for p in parameters]}; this cell has {shapes}")
    if sample_ids.dtype != torch.int64 or sample_ids.shape != state.shape[:1] or sample_ids.device.type != "cpu":
        raise EngineError(
            f"sample_ids must be int64 [{len(state)}] on the CPU, not {sample_ids.dtype} {list(sample_ids.shape)} "
            f"on {sample_ids.device}"
        )
    return [tensor.contiguous() for tensor in (*parameters, state, drive, sample_ids)]


def _case(
    spec: CellSpec, size: Sequence[int], drive: Tensor, steps: int, seed: int, every: int, isa: str | None
) -> Case:
    batch, x, y, z, channels = size
    sets = instruction_sets()
    return Case(
        batch=batch,
        x=x,
        y=y,
        z=z,
        channels=channels,
        drive_channels=drive.shape[-1],
        hidden=spec.hidden,
        neighbours=spec.neighbours,
        activation=_ACTIVATIONS.index(spec.activation),
        gated=spec.gated,
        periodic=spec.periodic,
        steps=steps,
        every=every,
        threads=torch.get_num_threads(),
        isa=next(iter(sets.values())) if isa is None else sets[isa],
        state_noise=spec.state_noise,
        seed=seed,
    )


def _pointers(tensors: Sequence[Tensor]) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


def _parameters(spec: CellSpec, tensors: Sequence[Tensor]) -> ctypes.Structure:
    """Null where the cell has no such parameter."""
    names = spec.parameter_shapes((1, 1, 1))
    return Parameters(**dict(zip(names, _pointers(tensors), strict=True)))


def _call(function: ctypes._NamedFuncPointer, *structures: ctypes.Structure) -> None:
    if function(*(ctypes.byref(structure) for structure in structures)) != 0:
        raise EngineError("backend 'fused_cpu': not enough memory for its scratch buffers; use a smaller batch")
