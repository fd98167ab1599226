"""Maps in closed form: what costs nothing to try, and so what a trained core has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from attrs import frozen
from torch import Tensor

from core_engine.contracts.metrics import METRICS
from core_engine.core.alignment import rotation
from core_engine.data.pairs import Pairs
from core_engine.evaluation.metrics import evaluate
from core_engine.memory.tables import cross_products, mean_row

Map = Callable[[Tensor], Tensor]

_RIDGE_STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)


@frozen(eq=False)
class Affine:
    """``x -> (x - input_mean) @ matrix + target_mean``: ``[n, D_in] -> [n, D_out]``; without a matrix, a mere shift."""

    input_mean: Tensor
    target_mean: Tensor
    matrix: Tensor | None = None

    def __call__(self, inputs: Tensor) -> Tensor:
        centred = inputs - self.input_mean
        return (centred if self.matrix is None else centred @ self.matrix) + self.target_mean


def identity(train: Pairs, validation: Pairs, metric: str) -> Map:
    """``x -> x``: the embeddings as they are."""
    return lambda inputs: inputs


def mean_shift(train: Pairs, validation: Pairs, metric: str) -> Map:
    """``x -> x - mean(inputs) + mean(targets)``, the means over ``train``."""
    return Affine(mean_row(train.inputs), mean_row(train.targets))


def ridge(train: Pairs, validation: Pairs, metric: str) -> Map:
    """Least squares with a penalty, both sides centred: ``W = (XᵀX + λ n I)⁻¹ XᵀY`` (Hoerl and Kennard, 1970).

    λ is the one of 1e-5, 1e-4, 1e-3, 1e-2 with the best ``metric`` on ``validation``. Solved in float64.
    """
    input_mean, target_mean = mean_row(train.inputs), mean_row(train.targets)
    gram = cross_products(train.inputs, train.inputs, input_mean, input_mean)
    cross = cross_products(train.inputs, train.targets, input_mean, target_mean)
    unit = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)

    def solution(strength: float) -> Affine:
        matrix = torch.linalg.solve(gram + strength * len(train) * unit, cross)
        return Affine(input_mean, target_mean, matrix.to(train.inputs.dtype))

    def score(fitted: Affine) -> float:
        value = evaluate(fitted(validation.inputs), validation)[metric]
        return value if METRICS[metric] == "max" else -value

    return max(map(solution, _RIDGE_STRENGTHS), key=score)


def procrustes(train: Pairs, validation: Pairs, metric: str) -> Map:
    """The :func:`rotation <core_engine.core.alignment.rotation>` to the targets, both sides centred."""
    input_mean, target_mean = mean_row(train.inputs), mean_row(train.targets)
    matrix = rotation(train.inputs, train.targets, input_mean, target_mean)
    return Affine(input_mean, target_mean, matrix.to(train.inputs.dtype))


#: Name -> ``fit(train, validation, metric)``, in the order in which they are shown.
BASELINES: Final[Mapping[str, Callable[[Pairs, Pairs, str], Map]]] = {
    "identity": identity,
    "mean_shift": mean_shift,
    "ridge": ridge,
    "procrustes": procrustes,
}

_EQUAL_DIMENSIONS_ONLY = frozenset({"identity", "mean_shift", "gains", "low_rank_16", "low_rank_64"})


def why_left_out(name: str, train: Pairs) -> str | None:
    """Why the baseline of this name cannot be fitted to ``train``; None if it can."""
    input_dim, target_dim = train.inputs.shape[1], train.targets.shape[1]
    if name in _EQUAL_DIMENSIONS_ONLY and input_dim != target_dim:
        return f"{name} needs inputs and targets of one dimension, not {input_dim} and {target_dim}"
    return None
