"""The rollout and its gradient as launches of kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core_engine_kernels.fused_cuda import backward_pass, forward_pass
from core_engine_kernels.fused_cuda.driver import launcher_for
from core_engine_kernels.stencil.spec import CellSpec


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
) -> tuple[Tensor, Tensor]:
    """Final state ``[B, X, Y, Z, C]`` and kept states, bf16 ``[K, B, X, Y, Z, C]``.

    ``parameters``: float32, in the order of :meth:`CellSpec.parameter_shapes`. ``state`` ``[B, X, Y, Z, C]`` and
    ``drive`` ``[B, X, Y, Z, E]``: float32 or bfloat16; the final state has the dtype of ``state``. ``sample_ids``:
    int64 ``[B]``. With ``keep``, the states that enter steps ``every``, ``2 every``, ... are kept, before these steps'
    noise; K = 0 otherwise. All lie on one GPU; the launches go to torch's current stream, and nothing waits for them.
    EngineError where :func:`~core_engine_kernels.fused_cuda.limits.refusal` has a reason, or a library is missing.
    """
    with torch.cuda.device(state.device):
        launcher = launcher_for(state.device)
        return forward_pass.run(launcher, spec, parameters, state, drive, sample_ids, steps, seed, every, keep)


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
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Gradients of state and drive, in their dtypes, and of the parameters, float32.

    ``states`` are those that :func:`forward` kept with the same ``every``; ``grad [B, X, Y, Z, C]`` is the gradient of
    the final state; the other arguments are those of :func:`forward`. Equal inputs give equal bits.
    """
    with torch.cuda.device(state.device):
        launcher = launcher_for(state.device)
        return backward_pass.run(launcher, spec, parameters, state, drive, sample_ids, states, grad, steps, seed, every)
