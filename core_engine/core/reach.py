"""Which cells can hear of which: a cell talks to its neighbours, so T steps carry a value T cells far."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor


@frozen
class Reach:
    """What T steps connect, as shares from 0 to 1.

    ``share_of_inputs``: input cells that at least one output cell hears of; the values of the others are lost.
    ``share_of_outputs``: output cells that hear of at least one input cell; the others are constant but for the biases.
    ``share_of_pairs``: pairs of input and output cell that are connected; at 1 every output can depend on every input.
    """

    share_of_inputs: float
    share_of_outputs: float
    share_of_pairs: float


def reach(input_cells: Tensor, output_cells: Tensor, steps: int, periodic: bool, neighbours: int = 6) -> Reach:
    """What ``steps`` steps connect, for cells that hear of themselves and their 6 or 26 neighbours.

    ``input_cells`` and ``output_cells``: bool ``[X, Y, Z]``, where values enter and leave. Two cells are connected
    where the sum of their distances along the axes (round the lattice where ``periodic``) is at most ``steps``, with 26
    neighbours where the largest of them is. ValueError where there is no input or no output cell.
    """
    inputs, outputs = input_cells.cpu(), output_cells.cpu()
    if inputs.dim() != 3 or inputs.shape != outputs.shape:
        raise ValueError(f"cells must be [X, Y, Z], not {list(inputs.shape)} and {list(outputs.shape)}")
    if not inputs.any() or not outputs.any():
        raise ValueError("there must be at least one input cell and one output cell")
    if neighbours == 26:
        heard = _within_cube(outputs, steps, periodic)[inputs]
        hearing = _within_cube(inputs, steps, periodic)[outputs]
    else:
        heard = _distance(outputs, periodic)[inputs] <= steps
        hearing = _distance(inputs, periodic)[outputs] <= steps
    pairs = _connected_pairs(inputs, outputs, steps, periodic, neighbours)
    return Reach(
        share_of_inputs=heard.sum().item() / len(heard),
        share_of_outputs=hearing.sum().item() / len(hearing),
        share_of_pairs=pairs / (len(heard) * len(hearing)),
    )


def _distance(cells: Tensor, periodic: bool) -> Tensor:
    """Steps from each cell to the nearest of ``cells``: int64 ``[X, Y, Z]``.

    The distance is a sum over axes, so its minimum is taken axis by axis: along one, ``min_j f(j) + |i - j|`` is the
    smaller of ``i + min_{j <= i} (f(j) - j)`` and its mirror image.
    """
    distance = torch.where(cells, 0, 3 * sum(cells.shape))
    for axis, size in enumerate(cells.shape):
        along = distance.movedim(axis, -1)
        if periodic:
            along = torch.cat([along, along, along], -1)
        position = torch.arange(along.shape[-1])
        before = (along - position).cummin(-1).values + position
        after = (along + position).flip(-1).cummin(-1).values.flip(-1) - position
        along = torch.minimum(before, after)
        if periodic:
            along = along[..., size : 2 * size]
        distance = along.movedim(-1, axis)
    return distance


def _within_cube(cells: Tensor, steps: int, periodic: bool) -> Tensor:
    """Which cells are at most ``steps`` from one of ``cells`` along every axis: bool ``[X, Y, Z]``.

    Along one axis, that is whether a running count of ``cells`` grows between ``steps`` before and ``steps`` after.
    """
    for axis, size in enumerate(cells.shape):
        along = cells.movedim(axis, -1)
        far = min(steps, size)
        if periodic:
            along = torch.cat([along[..., size - far :], along, along[..., :far]], -1)
        else:
            along = F.pad(along, (far, far))
        count = F.pad(along.long().cumsum(-1), (1, 0))
        cells = (count[..., 2 * far + 1 :] > count[..., :size]).movedim(-1, axis)
    return cells


def _connected_pairs(inputs: Tensor, outputs: Tensor, steps: int, periodic: bool, neighbours: int) -> int:
    """Number of connected pairs: the correlation of both masks, by Fourier transform, counts them by displacement."""
    # Padded so that displacements of opposite sign stay apart where the lattice does not close on itself.
    sizes = list(inputs.shape) if periodic else [2 * size - 1 for size in inputs.shape]
    spectrum = torch.fft.rfftn(inputs.double(), s=sizes).conj() * torch.fft.rfftn(outputs.double(), s=sizes)
    counts = torch.fft.irfftn(spectrum, s=sizes).round()
    distance = torch.zeros(())
    combine = torch.maximum if neighbours == 26 else torch.add
    for axis, size in enumerate(sizes):
        displacement = torch.arange(size)
        shape = [-1 if other == axis else 1 for other in range(3)]
        distance = combine(distance, torch.minimum(displacement, size - displacement).reshape(shape))
    return int(counts[distance <= steps].sum())
