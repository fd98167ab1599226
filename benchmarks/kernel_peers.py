"""The peers of benchmarks/kernels.py: one rollout of the pinned cell, written in other ways.

The cell: six neighbours, zero boundary, exact GELU, residual update, no position biases. Shapes as in
core_engine_kernels/stencil: state ``[B, X, Y, Z, C]``, drive ``[B, X, Y, Z, E]``. Parameters, in the order of the
stencil cell's: state_weight ``[H, 7, C]``, drive_weight ``[H, E]``, hidden_bias ``[H]``, update_weight ``[C, H]``,
update_bias ``[C]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Rollout = Callable[[Tensor, Tensor, Sequence[Tensor], int], Tensor]


def padcat(state: Tensor, drive: Tensor, parameters: Sequence[Tensor], steps: int) -> Tensor:
    """Pad, slice, concatenate, two linear layers: how most people write it first."""
    state_weight, drive_weight, hidden_bias, update_weight, update_bias = parameters
    weight = torch.cat([state_weight.flatten(1), drive_weight], 1)
    for _ in range(steps):
        hidden = F.gelu(F.linear(torch.cat([*_shifted(state), drive], -1), weight, hidden_bias))
        state = state + F.linear(hidden, update_weight, update_bias)
    return state


def gather(state: Tensor, drive: Tensor, parameters: Sequence[Tensor], steps: int) -> Tensor:
    """Neighbours by index."""
    state_weight, drive_weight, hidden_bias, update_weight, update_bias = parameters
    batch, *size, channels = state.shape
    cells = size[0] * size[1] * size[2]
    index = F.pad(torch.arange(cells).view(size), (1, 1, 1, 1, 1, 1), value=cells)
    index = torch.stack([part[0, ..., 0] for part in _shifted_of(index[None, ..., None])], -1).flatten()
    weight = torch.cat([state_weight.flatten(1), drive_weight], 1)
    flat, driven = state.reshape(batch, cells, channels), drive.reshape(batch, cells, -1)
    outside = flat.new_zeros(batch, 1, channels)
    for _ in range(steps):
        seen = torch.cat([flat, outside], 1).index_select(1, index).view(batch, cells, -1)
        hidden = F.gelu(F.linear(torch.cat([seen, driven], -1), weight, hidden_bias))
        flat = flat + F.linear(hidden, update_weight, update_bias)
    return flat.view(state.shape)


def padcat_by_convolution(state: Tensor, drive: Tensor, parameters: Sequence[Tensor], steps: int) -> Tensor:
    """padcat with its linear layers as 1 x 1 convolutions, channels last: torch.compile's fastest forward pass."""
    state_weight, drive_weight, hidden_bias, update_weight, update_bias = parameters
    weight = torch.cat([state_weight.flatten(1), drive_weight], 1)[:, :, None, None]
    for _ in range(steps):
        seen = torch.cat([*_shifted(state), drive], -1).flatten(1, 2).permute(0, 3, 1, 2)
        hidden = F.gelu(F.conv2d(seen, weight, hidden_bias))
        update = F.conv2d(hidden, update_weight[:, :, None, None], update_bias)
        state = state + update.permute(0, 2, 3, 1).reshape(state.shape)
    return state


def _shifted(state: Tensor) -> list[Tensor]:
    """The state itself and its six neighbours, zero outside."""
    return _shifted_of(F.pad(state, (0, 0, 1, 1, 1, 1, 1, 1)))


def _shifted_of(padded: Tensor) -> list[Tensor]:
    c = slice(1, -1)
    x, y, z = ((slice(-2), slice(2, None)) for _ in range(3))
    return [
        padded[:, c, c, c],
        *(padded[:, part, c, c] for part in x),
        *(padded[:, c, part, c] for part in y),
        *(padded[:, c, c, part] for part in z),
    ]


def jax_functions(steps: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """JAX, jitted, each step recomputed in the backward pass: (forward, forward and all gradients).

    Both take numpy arrays: state, drive, parameters and, the second, the cotangent. ImportError without JAX.
    """
    import jax
    import jax.numpy as jnp

    def step(state: Any, drive: Any, weight: Any, hidden_bias: Any, update_weight: Any, update_bias: Any) -> Any:
        p = jnp.pad(state, ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))
        c = slice(1, -1)
        faces = [p[:, :-2, c, c], p[:, 2:, c, c], p[:, c, :-2, c], p[:, c, 2:, c], p[:, c, c, :-2], p[:, c, c, 2:]]
        hidden = jax.nn.gelu(jnp.concatenate([state, *faces, drive], -1) @ weight + hidden_bias, approximate=False)
        return state + hidden @ update_weight + update_bias

    def rollout(state: Any, drive: Any, parameters: Any) -> Any:
        state_weight, drive_weight, hidden_bias, update_weight, update_bias = parameters
        weight = jnp.concatenate([state_weight.reshape(len(state_weight), -1), drive_weight], 1).T
        body = jax.checkpoint(lambda s: step(s, drive, weight, hidden_bias, update_weight.T, update_bias))
        for _ in range(steps):
            state = body(state)
        return state

    def both(state: Any, drive: Any, parameters: Any, cotangent: Any) -> Any:
        value, pull = jax.vjp(lambda s, p: rollout(s, drive, p), state, parameters)
        return value, pull(cotangent)

    forward, forward_backward = jax.jit(rollout), jax.jit(both)
    return (
        lambda *a: jax.block_until_ready(forward(*a)),
        lambda *a: jax.block_until_ready(forward_backward(*a)),
    )
