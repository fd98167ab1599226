"""A loss at several lengths of the embedding at once."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from torch import Tensor, nn

from core_engine import Batch, Loss
from core_engine_losses.inner import Inner


class MatryoshkaLoss(nn.Module):
    """``L = sum_k weight_k loss_k(o[:d_k], t[:d_k])`` (Kusupati et al., 2022).

    Mined negatives are cut like the target; the embeddings by further teachers are left whole. ``losses[k]`` was built
    for dimension ``dims[k]``. Parts: each length's loss, unweighted, under the number of its dimensions, and its own
    parts below that.

    output, target ``[B, D]``, D at least ``max(dims)``; the dtype is that of the inner losses.
    """

    def __init__(self, losses: Sequence[Loss], dims: Sequence[int], weights: Sequence[float]) -> None:
        super().__init__()
        self._inner = [Inner(loss) for loss in losses]
        self.inner = nn.ModuleList(self._inner)
        self._dims = list(dims)
        self._weights = list(weights)

    def forward(self, output: Tensor, target: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        total = output.new_zeros(())
        parts: dict[str, Tensor] = {}
        for dim, weight, inner in zip(self._dims, self._weights, self._inner, strict=True):
            loss, named = inner(output[:, :dim], target[:, :dim], _cut(batch, dim))
            parts[f"{dim}"] = loss.detach()
            parts.update((f"{dim}/{name}", part) for name, part in named.items())
            total = total + weight * loss
        return total, parts

    def fit(self, target: Tensor, batch: Batch) -> None:
        for dim, inner in zip(self._dims, self._inner, strict=True):
            inner.fit(target[:, :dim], _cut(batch, dim))

    def validated(self, output: Tensor, target: Tensor, batch: Batch) -> None:
        for dim, inner in zip(self._dims, self._inner, strict=True):
            inner.validated(output[:, :dim], target[:, :dim], _cut(batch, dim))


def _cut(batch: Batch, dim: int) -> Batch:
    """With the first ``dim`` dimensions of the mined negatives, ``[B, K, D] -> [B, K, dim]``."""
    return batch if batch.negatives is None else attrs.evolve(batch, negatives=batch.negatives[..., :dim])
