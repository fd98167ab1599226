"""Which place of the lattice each dimension takes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from core_engine_reshapes.moments import covariance

Size = tuple[int, int, int]
Order = Literal["given", "variance", "correlation"]


def places(size: Size, channels: int, order: Order, face: int | None = None) -> Tensor:
    """Flat positions in the row-major ``[X, Y, Z, channels]``, cell by cell in the order in which they are filled.

    ``face``: the z of the cells that count; None: all. Cells come in row-major order; with ``order: variance`` those
    nearest to the centre (mean of their coordinates) come first.
    """
    cells = torch.arange(size[0] * size[1] * size[2]).reshape(size)
    cells = (cells if face is None else cells[..., face]).flatten()
    if order == "variance":
        coordinates = torch.stack(torch.unravel_index(cells, size), 1).double()
        # Rounded, so that cells that are equally far stay in row-major order.
        far = (coordinates - coordinates.mean(0)).square().sum(1).round(decimals=6)
        cells = cells[far.argsort(stable=True)]
    return (cells[:, None] * channels + torch.arange(channels)).flatten()


def by_variance(data: Tensor) -> Tensor:
    """``[D]``: rank of each dimension of ``data [n, D]`` by variance, the largest 0; equal ones as they are given."""
    variances = covariance(data).diagonal()
    return variances.argsort(descending=True, stable=True).argsort()


def by_correlation(data: Tensor, coordinates: Tensor) -> Tensor:
    """``[D]``: which of the places at ``coordinates [D, 3]`` each dimension takes, so that correlated ones are near.

    Spectral placement (Hall, 1970): the sum of ``w_ij |p_i - p_j|^2`` with ``w_ij = |correlation|`` is smallest where
    the coordinates are eigenvectors of the graph's Laplacian, here of the normalised one (Shi and Malik, 2000). The
    lattice's longest axis takes the first (Fiedler) vector: its layers are filled in that order; the next axis takes
    the second vector within each layer, and so on. A dimension that never varies is correlated with none.
    """
    vectors = _spectral_coordinates(covariance(data), 3)
    layers = coordinates - coordinates.min(0).values
    longest_first = layers.max(0).values.argsort(descending=True, stable=True).tolist()
    result = torch.empty(len(vectors), dtype=torch.long)

    def fill(dims: Tensor, free: Tensor, level: int) -> None:
        if level == 3:
            result[dims] = free
            return
        layer = layers[:, longest_first[level]]
        dims = dims[vectors[dims, level].argsort(stable=True)]
        free = free[layer[free].argsort(stable=True)]
        room = layer[free].unique_consecutive(return_counts=True)[1].tolist()
        for some, here in zip(dims.split(room), free.split(room), strict=True):
            fill(some, here, level + 1)

    everything = torch.arange(len(vectors))
    fill(everything, everything, 0)
    return result


def _spectral_coordinates(covariances: Tensor, count: int) -> Tensor:
    """``[D, count]``: generalised eigenvectors of ``L v = lambda S v``, smallest first, without the constant one.

    ``S`` holds the sums of the weights' rows, ``L = S - W``. Each points so that its entry of largest size is positive;
    there are zeros after the last.
    """
    deviations = covariances.diagonal().sqrt()
    scale = torch.where(deviations > 0, deviations, 1)
    weights = (covariances / torch.outer(scale, scale)).abs().fill_diagonal_(0)
    sums = weights.sum(1)
    root = torch.where(sums > 0, sums, 1).rsqrt()
    affinity = weights * torch.outer(root, root)
    # The constant vector's eigenvalue is 1, the largest; -1 makes it the smallest.
    constant = sums.sqrt() / sums.sum().clamp(min=torch.finfo(sums.dtype).tiny).sqrt()
    vectors = torch.linalg.eigh(affinity - 2 * torch.outer(constant, constant)).eigenvectors.flip(1)[:, :count]
    vectors = vectors * root[:, None]
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    return torch.nn.functional.pad(vectors * largest.sign(), (0, count - vectors.shape[1]))
