"""Parameters, drive and gradients between the form of the cell and that of the kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor

from core_engine_kernels.fused_cuda.variants import padded_drive
from core_engine_kernels.stencil.spec import CellSpec

#: A block of 32 hidden units: unit ``8 n + 2 q + r`` belongs to lanes q, 4 + q, ... of a warp.
_BLOCK = (4, 4, 2)


@frozen
class Packed:
    """What every kernel is given of the parameters.

    ``input_weight`` bf16 ``[H, 7 C + D]``: state weights by neighbour and channel, drive weights, bias, zeros; D is
    :func:`padded_drive`. ``output_weight`` bf16 ``[C or 2 C, H]``: update, then gate. ``output_bias`` float32 alike.
    ``position`` bf16 ``[X Y Z, H]``, reordered, or None.
    """

    input_weight: Tensor
    output_weight: Tensor
    output_bias: Tensor
    position: Tensor | None


def pack(spec: CellSpec, size: tuple[int, int, int], parameters: Sequence[Tensor]) -> Packed:
    """``parameters`` in the order of :meth:`CellSpec.parameter_shapes`."""
    named = dict(zip(spec.parameter_shapes(size), parameters, strict=True))
    drive = torch.cat([named["drive_weight"], named["hidden_bias"][:, None]], dim=1)
    drive = torch.nn.functional.pad(drive, (0, padded_drive(spec) - drive.shape[1]))
    output, bias = [named["update_weight"]], [named["update_bias"]]
    if spec.gated:
        output.append(named["gate_weight"])
        bias.append(named["gate_bias"])
    position = None
    if spec.position:
        position = _reordered(named["position"].bfloat16().reshape(math.prod(size), spec.hidden))
    return Packed(
        torch.cat([named["state_weight"].flatten(1), drive], dim=1).bfloat16(),
        torch.cat(output).bfloat16(),
        torch.cat(bias).float(),
        position,
    )


def pack_drive(spec: CellSpec, drive: Tensor) -> Tensor:
    """``[B, X, Y, Z, E] -> bf16 [B X Y Z, D]``: the drive, a one for the bias, zeros."""
    packed = drive.new_zeros((drive.shape[:-1].numel(), padded_drive(spec)), dtype=torch.bfloat16)
    packed[:, : spec.drive_channels] = drive.reshape(len(packed), spec.drive_channels)
    packed[:, spec.drive_channels] = 1
    return packed


def unpack_gradients(
    spec: CellSpec, size: tuple[int, int, int], weight: Tensor, bias: Tensor, position: Tensor | None
) -> list[Tensor]:
    """Gradients in the order of :meth:`CellSpec.parameter_shapes`, float32.

    ``weight [blocks, H, 7 C + D + outputs]``, ``bias [blocks, rows, outputs]``, ``position [parts, X Y Z, H]`` hold the
    sums of every block.
    """
    weight, bias = weight.sum(0), bias.sum((0, 1))
    states = 7 * spec.channels
    to_state, to_drive, to_output = weight.split([states, padded_drive(spec), len(bias)], dim=1)
    update, *gate = to_output.t().split(spec.channels)
    named = {
        "state_weight": to_state.unflatten(1, (7, spec.channels)),
        "drive_weight": to_drive[:, : spec.drive_channels],
        "hidden_bias": to_drive[:, spec.drive_channels],
        "update_weight": update,
        "update_bias": bias[: spec.channels],
    }
    if position is not None:
        named["position"] = _restored(position.sum(0)).unflatten(0, size)
    if spec.gated:
        named |= {"gate_weight": gate[0], "gate_bias": bias[spec.channels :]}
    # Each in memory of its own, as PyTorch asks of an operator's results: the two biases lie in one tensor.
    return [named[name].clone(memory_format=torch.contiguous_format) for name in spec.parameter_shapes(size)]


def _reordered(position: Tensor) -> Tensor:
    """``[cells, H]``, in each block of 32 unit ``8 n + 2 q + r`` at ``8 q + 2 n + r``."""
    blocks: Tensor = position.unflatten(1, (-1, *_BLOCK))
    return blocks.transpose(2, 3).flatten(1).contiguous()


def _restored(position: Tensor) -> Tensor:
    """The inverse of :func:`_reordered`, which is its own."""
    return _reordered(position)
