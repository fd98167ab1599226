"""Scores the validation split during training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core_engine.contracts.objects import Batch
from core_engine.data.pairs import Pairs
from core_engine.evaluation.metrics import evaluate
from core_engine.randomness import generator
from core_engine.training.criterion import Criterion
from core_engine.training.inference import apply_core


def score_validation(
    core: nn.Module, criterion: Criterion, pairs: Pairs, batch_size: int, seed: int
) -> dict[str, float]:
    """``loss``, and the metrics of :func:`core_engine.evaluation.metrics.evaluate`."""
    output = apply_core(core, pairs.inputs)
    return {"loss": _loss(output, criterion, pairs, batch_size, seed), **evaluate(output, pairs)}


def _loss(output: Tensor, criterion: Criterion, pairs: Pairs, batch_size: int, seed: int) -> float:
    """Mean over batches of training size, in one fixed random order: in files, a group's rows often stand together."""
    order = torch.randperm(len(pairs), generator=generator(seed, "validation")).to(output.device)
    group_ids = pairs.group_ids if pairs.group_ids is not None else torch.arange(len(pairs), device=output.device)
    total = torch.zeros((), device=output.device)
    criterion.eval()
    with torch.no_grad():
        for rows in order.split(batch_size):
            batch = Batch(rows, pairs.inputs[rows], pairs.target_ids[rows], group_ids[rows], epoch=0)
            total += criterion(output[rows], pairs.targets[rows], batch)[0] * len(rows)
    criterion.train()
    return float(total) / len(pairs)
