"""The weighted sum of a run's losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core_engine.contracts.objects import Batch, Loss
from core_engine.contracts.schedule import Scheduled, value_at
from core_engine.errors import TrainingError


class Criterion(nn.Module):
    """``sum of weight_i * loss_i``, weights as of ``batch.progress``.

    A module, so that parameters of the losses are found, moved and saved.

    Called with output and target ``[B, D]`` and a batch, gives the scalar sum and the named parts: one for each of
    several terms, and those that a term names itself.
    """

    def __init__(self, terms: Sequence[tuple[str, Scheduled, Loss]]) -> None:
        super().__init__()
        self.terms = list(terms)
        self.modules_of_terms = nn.ModuleList(loss for _, _, loss in terms if isinstance(loss, nn.Module))

    def forward(self, output: Tensor, target: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        total: Tensor | None = None
        parts: dict[str, Tensor] = {}
        for name, weight, loss in self.terms:
            value = loss(output, target, batch)
            if isinstance(value, tuple):
                value, named = value
                parts.update((f"loss/{name}/{key}", part.detach()) for key, part in named.items())
            if not isinstance(value, torch.Tensor) or value.ndim:
                raise TrainingError(f"loss {name!r} must return a scalar tensor, not {_what(value)}")
            if len(self.terms) > 1:
                parts[f"loss/{name}"] = value.detach()
            now = value_at(weight, batch.progress)
            weighted = value if now == 1.0 else now * value
            total = weighted if total is None else total + weighted
        assert total is not None, "a criterion has at least one term"  # noqa: S101
        return total, parts

    def fit(self, target: Tensor, batch: Batch) -> None:
        """Once, before training, with the whole training split."""
        for _, _, loss in self.terms:
            fit = getattr(loss, "fit", None)
            if fit is not None:
                fit(target, batch)

    def validated(self, output: Tensor, target: Tensor, batch: Batch) -> None:
        """After an evaluation, with the whole validation split."""
        for _, _, loss in self.terms:
            validated = getattr(loss, "validated", None)
            if validated is not None:
                validated(output, target, batch)


def _what(value: object) -> str:
    return f"a tensor of shape {list(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
