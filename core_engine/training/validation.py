"""Scores the validation split during training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core_engine.data.pairs import Pairs
from core_engine.evaluation.metrics import evaluate
from core_engine.randomness import generator
from core_engine.training.criterion import Criterion
from core_engine.training.inference import apply_core


def score_validation(
    core: nn.Module, criterion: Criterion, pairs: Pairs, batch_size: int, seed: int
) -> dict[str, float]:
    """``loss``, and the metrics of :func:`core_engine.evaluation.metrics.evaluate`."""
    return score_output(apply_core(core, pairs.inputs), criterion, pairs, batch_size, seed)


def score_output(output: Tensor, criterion: Criterion, pairs: Pairs, batch_size: int, seed: int) -> dict[str, float]:
    """The same of what a core has made of the rows, ``[n, D_out]``."""
    return {"loss": _loss(output, criterion, pairs, batch_size, seed), **evaluate(output, pairs)}


def _loss(output: Tensor, criterion: Criterion, pairs: Pairs, batch_size: int, seed: int) -> float:
    """Mean over batches of training size, in one fixed random order: in files, a group's rows often stand together."""
    order = torch.randperm(len(pairs), generator=generator(seed, "validation")).to(output.device)
    total = torch.zeros((), device=output.device)
    criterion.eval()
    with torch.no_grad():
        for rows in order.split(batch_size):
            total += criterion(output[rows], pairs.targets[rows], pairs.batch(rows))[0] * len(rows)
    criterion.train()
    return float(total) / len(pairs)
