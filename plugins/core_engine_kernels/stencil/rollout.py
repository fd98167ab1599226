"""The reference rollout of the stencil cell: plain PyTorch, any device and dtype, exact in float64.

The sum over a cell and its six neighbours is three convolutions, one along each axis. They read the state where it
lies, ordered ``[B, X, Y, Z, channel]``, so the neighbourhoods (7 C values a cell) are never written down. Along x there
are three taps, the middle one being the cell itself; along y and z there are two, one cell apart (``dilation=2``), so
that no tap multiplies by zero. With 26 neighbours it is one convolution over the cube of 27 cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from core_engine.core.noise import normal
from core_engine_kernels.stencil.masks import masks
from core_engine_kernels.stencil.spec import CellSpec

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}

#: On a CPU, samples go through in chunks whose hidden layer takes this many bytes. A larger one outgrows the cache and
#: is given fresh memory by the system at every operation: at batch 256, 8 x 8 x 12 cells, that took 1.8 times as long.
_CHUNK_BYTES = 8 * 2**20


def rollout(
    spec: CellSpec,
    parameters: Mapping[str, Tensor],
    state: Tensor,
    drive: Tensor,
    first_step: int,
    steps: int,
    seed: int,
    sample_ids: Tensor,
) -> Tensor:
    """State ``[B, X, Y, Z, C]`` after ``steps`` steps. StencilCell states the equations and the ``parameters``.

    ``first_step``: number of the first of these steps within the whole rollout, which keys what is random in it. What
    ``spec`` says of training is done: for evaluation give :meth:`CellSpec.in_evaluation`.
    """
    step = _step(spec, parameters)

    def run(state: Tensor, drive: Tensor, sample_ids: Tensor) -> Tensor:
        constant = _channels_second(_constant_part(parameters, drive))
        for number in range(first_step, first_step + steps):
            if spec.state_noise:
                noise = normal(state.shape, seed, sample_ids, number, state.dtype, state.device)
                state = torch.add(state, noise, alpha=spec.state_noise)
            updates, stays = masks(spec, state.shape, seed, sample_ids, number, state.device)
            state = _channels_last(step(_channels_second(state), constant, updates, stays))
        return state

    samples = len(state)
    if state.device.type == "cpu":
        samples = max(1, _CHUNK_BYTES // (math.prod(state.shape[1:4]) * spec.hidden * state.element_size()))
    if len(state) <= samples:
        return run(state, drive, sample_ids)
    chunks = zip(state.split(samples), drive.split(samples), sample_ids.split(samples), strict=True)
    return torch.cat([run(*chunk) for chunk in chunks])


def _channels_second(values: Tensor) -> Tensor:
    """The view ``[B, channel, X, Y, Z]`` that convolutions ask for; in memory the channels stay last."""
    return values.permute(0, 4, 1, 2, 3)


def _channels_last(values: Tensor) -> Tensor:
    return values.permute(0, 2, 3, 4, 1)


def _constant_part(parameters: Mapping[str, Tensor], drive: Tensor) -> Tensor:
    """What the hidden layer adds in every step: ``[B, X, Y, Z, H]``."""
    constant = F.linear(drive, parameters["drive_weight"], parameters["hidden_bias"])
    if "position" in parameters:
        # Under autocast the product is in lower precision, and so is the hidden layer.
        constant = constant + parameters["position"].to(constant.dtype)
    return constant


def _step(
    spec: CellSpec, parameters: Mapping[str, Tensor]
) -> Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]:
    """One step ``(state [B, C, X, Y, Z], constant part [B, H, X, Y, Z], *masks) -> state``."""
    weights = _convolution_weights(spec, parameters["state_weight"])
    activation = _ACTIVATIONS[spec.activation]
    weight, bias = parameters["update_weight"], parameters["update_bias"]
    if spec.gated:
        weight, bias = torch.cat([weight, parameters["gate_weight"]]), torch.cat([bias, parameters["gate_bias"]])
    if spec.dropout:
        # What makes up for the values that are zeroed, once for all steps and not on each hidden layer.
        weight = weight / (1 - spec.dropout)
    weight = weight[:, :, None, None, None]

    def step(state: Tensor, constant: Tensor, updates: Tensor | None, stays: Tensor | None) -> Tensor:
        hidden = _neighbours(state, weights[0], spec.periodic)
        for one_axis in weights[1:]:
            hidden += _neighbours(state, one_axis, spec.periodic)
        hidden += constant
        hidden = activation(hidden)
        if stays is not None:
            hidden = hidden * _channels_second(stays)
        update = F.conv3d(hidden, weight, bias)
        if spec.gated:
            update, gate = update.chunk(2, dim=1)
            update = torch.sigmoid(gate) * update
        if updates is not None:
            update = update * _channels_second(updates) / spec.update_probability
        return state + update

    return step


def _convolution_weights(spec: CellSpec, weight: Tensor) -> list[Tensor]:
    """``state_weight [H, K, C]`` as convolution weights ``[H, C, taps along x, y, z]``."""
    taps = weight.transpose(1, 2)  # [H, C, K], in the order of spec.offsets: the cell itself first
    if spec.neighbours == 26:
        cube = torch.cat([taps[..., 1:14], taps[..., :1], taps[..., 14:]], dim=-1)
        return [cube.unflatten(-1, (3, 3, 3))]
    along_x = torch.stack([taps[..., 1], taps[..., 0], taps[..., 2]], dim=-1)
    return [along_x[..., :, None, None], taps[..., None, 3:5, None], taps[..., None, None, 5:7]]


def _neighbours(state: Tensor, weight: Tensor, periodic: bool) -> Tensor:
    """Weighted sum over a cell's neighbours: ``[B, C, X, Y, Z] -> [B, H, X, Y, Z]``."""
    taps = weight.shape[2:]
    padding = [0 if length == 1 else 1 for length in taps]
    dilation = [2 if length == 2 else 1 for length in taps]
    if not periodic:
        return F.conv3d(state, weight, padding=padding, dilation=dilation)
    for axis, needed in enumerate(padding, start=2):
        if needed:
            state = torch.cat([state.narrow(axis, -1, 1), state, state.narrow(axis, 0, 1)], dim=axis)
    return F.conv3d(state, weight, dilation=dilation)
