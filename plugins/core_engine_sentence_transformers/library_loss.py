"""A loss of Sentence Transformers, given embeddings instead of texts and a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from core_engine_losses.numerics import at_least_float32
from torch import Tensor, nn

from core_engine import Batch
from core_engine.errors import RecipeError
from core_engine_sentence_transformers.runtime import load_losses

#: How each of them takes outputs and targets.
_CALLS: Final[Mapping[str, Callable[[Any, Tensor, Tensor], Tensor | dict[str, Tensor]]]] = {
    "MultipleNegativesRankingLoss": lambda loss, o, t: loss.compute_loss_from_embeddings([o, t], None),
    "MegaBatchMarginLoss": lambda loss, o, t: loss.calculate_loss([[o], [t]]),
    "EmbedDistillLoss": lambda loss, o, t: loss.compute_loss_from_embeddings([o], [t]),
    "GlobalOrthogonalRegularizationLoss": lambda loss, o, t: loss.compute_loss_from_embeddings([o]),
}
#: Computing in parts, the library would run the model itself.
_NEEDED: Final[Mapping[str, Mapping[str, Any]]] = {"MegaBatchMarginLoss": {"use_mini_batched_version": False}}


class LibraryLoss(nn.Module):
    """The class ``name`` of the library with ``options``; a loss of several terms is their sum, with them as parts.

    Formula and unit are the library's. RecipeError for options that the class does not take or that need a model.

    output, target ``[B, D]``; computed in float32, or float64 where they are, outside autocast. Returns a scalar of
    that dtype.
    """

    def __init__(self, name: str, options: Mapping[str, Any], dim: int) -> None:
        super().__init__()
        self._call = _CALLS[name]
        made = getattr(load_losses(), name)
        try:
            self.loss = made(None, **_NEEDED.get(name, {}), **options)
            # Some classes look at their options only when they are used.
            self._call(self.loss, torch.eye(2, dim), torch.eye(2, dim))
        except Exception as error:  # whatever the library raises for them
            raise RecipeError(
                [f"loss sentence_transformers: {name} cannot be used with options {dict(options)}: {error}"]
            ) from error

    def forward(self, output: Tensor, target: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(output.device.type, enabled=False):
            value = self._call(self.loss, at_least_float32(output), at_least_float32(target))
        if isinstance(value, Tensor):
            return value, {}
        return torch.stack(list(value.values())).sum(), {name: term.detach() for name, term in value.items()}
