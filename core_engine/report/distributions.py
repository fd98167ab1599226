"""Distributions over held-out rows: cosines of true and of shuffled pairs, and recall by how far one looks."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from core_engine.data.pairs import Pairs
from core_engine.evaluation.retrieval import unit_rows

#: Rows of which every pair is taken, and bars.
_ROWS, _BINS = 2000, 60


@frozen(eq=False)
class Cosines:
    """Histograms from -1 to 1, as densities: ``edges [bins + 1]``, ``true [bins]`` of each row's output and its own
    target, ``shuffled [bins]`` of every output with every other target, of rows evenly spread over those given. Means
    of the same.
    """

    edges: Tensor
    true: Tensor
    shuffled: Tensor
    mean_true: float
    mean_shuffled: float


def cosine_distributions(output: Tensor, pairs: Pairs) -> Cosines:
    """Of ``output [n, D]``. Pairs of rows with one target text are no shuffled pairs."""
    outputs, targets = unit_rows(output), unit_rows(pairs.targets)
    true = (outputs * targets).sum(-1).clamp(-1, 1)
    some = torch.linspace(0, len(output) - 1, min(len(output), _ROWS), dtype=torch.float64).round().long()
    some = some.to(output.device)
    counts = torch.zeros(_BINS, dtype=torch.float64)
    total, number = 0.0, 0
    for rows in some.split(256):
        cosines = (outputs[rows] @ targets[some].T).clamp(-1, 1)
        unlike = cosines[pairs.target_ids[rows, None] != pairs.target_ids[some]].cpu()
        counts += torch.histc(unlike, _BINS, -1, 1)
        total, number = total + float(unlike.sum()), number + len(unlike)
    width = 2 / _BINS
    return Cosines(
        edges=torch.linspace(-1, 1, _BINS + 1, dtype=torch.float64),
        true=torch.histc(true.cpu(), _BINS, -1, 1) / (len(true) * width),
        shuffled=counts / (max(1, number) * width),
        mean_true=float(true.mean()),
        mean_shuffled=total / number if number else float("nan"),
    )


def recall_curve(ranks: Tensor, most: int) -> list[float]:
    """Share of rows whose target is among the first k, for k from 1 to ``most``: ``ranks``, int64 ``[n]``, from 1."""
    counts = torch.bincount(ranks.clamp(max=most + 1), minlength=most + 2)[1 : most + 1]
    shares: list[float] = (counts.cumsum(0).double() / len(ranks)).tolist()
    return shares
