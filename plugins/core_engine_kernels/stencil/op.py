"""The stencil cell's rollout as one operator of PyTorch, which fused backends fill: one implementation per device type.

Forward keeps states; backward computes the hidden layers, and the states between, again. The operator is differentiable
once, is traced by ``torch.compile`` without a graph break, and knows nothing of autocast: it computes in the precision
that its backend states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from core_engine.errors import EngineError
from core_engine_kernels.stencil.fused import refusal_of_training
from core_engine_kernels.stencil.spec import CellSpec, spec_from_text


def rollout(
    spec: CellSpec,
    parameters: Mapping[str, Tensor],
    state: Tensor,
    drive: Tensor,
    steps: int,
    seed: int,
    sample_ids: Tensor,
    memory: int | None,
) -> Tensor:
    """State ``[B, X, Y, Z, C]`` after ``steps`` steps, by the fused backend of the state's device.

    ``parameters`` as :meth:`CellSpec.parameter_shapes` names them. ``memory``: every how many states one is kept for
    the backward pass; None is 1. EngineError where the backend does not compute this case.
    """
    ordered = [parameters[name] for name in spec.parameter_shapes((1, 1, 1))]
    if steps == 0:
        return state.clone()
    if not torch.compiler.is_compiling() and any(unpack_dual(t).tangent is not None for t in (state, drive, *ordered)):
        raise EngineError("the fused backends have no forward-mode derivatives; use backend 'reference'")
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (state, drive, *ordered))
    every = min(memory or 1, steps)
    final: Tensor = stencil_rollout(state, drive, ordered, sample_ids, spec.text, steps, seed, every, keep)[0]
    return final


def _implementation(device: torch.device) -> ModuleType:
    """The module with ``forward`` and ``backward`` for a device."""
    if device.type == "cuda":
        from core_engine_kernels.fused_cuda import rollout as fused_cuda

        return fused_cuda
    from core_engine_kernels.fused_cpu import rollout as fused_cpu

    return fused_cpu


@torch.library.custom_op(
    "core_engine::stencil_rollout",
    mutates_args=(),
    device_types=("cpu", "cuda"),
    schema="(Tensor state, Tensor drive, Tensor[] parameters, Tensor sample_ids, str spec, SymInt steps, SymInt seed, "
    "SymInt every, bool keep) -> (Tensor, Tensor)",
)
def stencil_rollout(
    state: Tensor,
    drive: Tensor,
    parameters: Sequence[Tensor],
    sample_ids: Tensor,
    spec: str,
    steps: int,
    seed: int,
    every: int,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """The final state, and of the states that enter steps ``every``, 2 ``every``, ... those kept:
    ``[(steps - 1) // every if keep else 0, B, X, Y, Z, C]``.
    """
    cell, forward = spec_from_text(spec), _implementation(state.device).forward
    if (reason := refusal_of_training(cell)) is not None:
        raise EngineError(f"{reason}; choose the backend again (use_backend) after switching a core to training")
    final, states = forward(cell, parameters, state, drive, sample_ids, steps, seed, every, keep)
    return final, states


@stencil_rollout.register_fake
def _(state: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    steps, _seed, every, keep = others[-4:]
    kept = (steps - 1) // every if keep else 0
    # On CUDA cells see each other in bfloat16, so nothing is lost by keeping states in it.
    dtype = torch.bfloat16 if state.device.type == "cuda" else state.dtype
    return state.new_empty(state.shape), state.new_empty((kept, *state.shape), dtype=dtype)


_Gradients = tuple[Tensor, Tensor, list[Tensor]]


@torch.library.custom_op(
    "core_engine::stencil_rollout_backward",
    mutates_args=(),
    device_types=("cpu", "cuda"),
    schema="(Tensor grad, Tensor states, Tensor state, Tensor drive, Tensor[] parameters, Tensor sample_ids, str spec, "
    "SymInt steps, SymInt seed, SymInt every) -> (Tensor, Tensor, Tensor[])",
)
def stencil_rollout_backward(
    grad: Tensor,
    states: Tensor,
    state: Tensor,
    drive: Tensor,
    parameters: Sequence[Tensor],
    sample_ids: Tensor,
    spec: str,
    steps: int,
    seed: int,
    every: int,
) -> _Gradients:
    """Gradients of state, drive and parameters."""
    cell, backward = spec_from_text(spec), _implementation(state.device).backward
    d_state, d_drive, d_parameters = backward(
        cell, parameters, state, drive, sample_ids, states, grad, steps, seed, every
    )
    return d_state, d_drive, d_parameters


@stencil_rollout_backward.register_fake
def _(
    _grad: Tensor, _states: Tensor, state: Tensor, drive: Tensor, parameters: Sequence[Tensor], *_: Any
) -> _Gradients:
    empty = [tensor.new_empty(tensor.shape) for tensor in (state, drive, *parameters)]
    return empty[0], empty[1], empty[2:]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    state, drive, parameters, sample_ids, *ctx.rest, _keep = inputs
    ctx.save_for_backward(output[1], state, drive, sample_ids, *parameters)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # zeros for the states would take as much memory as these


def _backward(ctx: Any, grad: Tensor | None, _grad_of_states: None) -> tuple[Any, ...]:
    if grad is None:
        return (None,) * 9
    states, state, drive, sample_ids, *parameters = ctx.saved_tensors
    d_state, d_drive, d_parameters = stencil_rollout_backward(
        grad, states, state, drive, parameters, sample_ids, *ctx.rest
    )
    return d_state, d_drive, d_parameters, None, None, None, None, None, None


stencil_rollout.register_autograd(_backward, setup_context=_setup_context)
