"""One loss against several teachers at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from core_engine import Batch, Loss
from core_engine_losses.alignment import Alignment
from core_engine_losses.cosine import CosineLoss
from core_engine_losses.inner import Inner
from core_engine_losses.numerics import at_least_float32
from core_engine_losses.reference import embeddings_by
from core_engine_losses.teacher_weights import TeacherWeights

#: What the run's own teacher is called among the others.
PRIMARY = "primary"


class MultiTeacherLoss(nn.Module):
    """``L = sum_k w_k loss_k(o, a_k)``: the targets of each teacher, in the primary's space, and how much it counts.

    Teacher 0 is the primary, ``a_0`` the target itself; ``a_k`` is what the alignment fitted on the training split
    makes of further teacher k. ``losses``: one for each teacher, the primary first. For the weights ``w``, which have
    no gradient, see :mod:`core_engine_losses.teacher_weights`. Parts: ``weight/<teacher>``, each teacher's loss,
    unweighted, under its name, and that loss's own parts below it; the primary is called ``primary``.

    output, target ``[B, D]``, further embeddings ``[B, D_k]``; the dtype is that of the inner losses. TrainingError
    where the batch lacks a teacher.
    """

    def __init__(self, losses: Sequence[Loss], alignments: Mapping[str, Alignment], weights: TeacherWeights) -> None:
        super().__init__()
        self._names = [PRIMARY, *alignments]
        self._inner = [Inner(loss) for loss in losses]
        self._alignments = dict(alignments)
        self.inner = nn.ModuleList(self._inner)
        self.alignments = nn.ModuleList(alignments.values())
        self.weights = weights

    def forward(self, output: Tensor, target: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        aligned = torch.stack(list(self._aligned(target, batch)))
        with torch.autocast(output.device.type, enabled=False):
            weights = self.weights(aligned, aligned[0], batch)
        total = output.new_zeros(())
        parts: dict[str, Tensor] = {}
        for name, weight, towards, inner in zip(self._names, weights, aligned, self._inner, strict=True):
            loss, named = inner(output, towards, batch)
            parts[f"weight/{name}"] = weight
            parts[name] = loss.detach()
            parts.update((f"{name}/{key}", part) for key, part in named.items())
            total = total + weight * loss
        return total, parts

    def fit(self, target: Tensor, batch: Batch) -> None:
        for name, alignment in self._alignments.items():
            alignment.fit(embeddings_by(name, target, batch), target)
        for towards, inner in zip(self._aligned(target, batch), self._inner, strict=True):
            inner.fit(towards, batch)

    @torch.no_grad()
    def validated(self, output: Tensor, target: Tensor, batch: Batch) -> None:
        scores = []
        for towards, inner in zip(self._aligned(target, batch), self._inner, strict=True):
            scores.append(1 - CosineLoss()(output, towards, batch))
            inner.validated(output, towards, batch)
        self.weights.validated(torch.stack(scores))

    def _aligned(self, target: Tensor, batch: Batch) -> Iterator[Tensor]:
        """The targets by each teacher in the primary's space, ``[B, D]``; one at a time, since a split can be large."""
        own = at_least_float32(target)
        yield own
        for name, alignment in self._alignments.items():
            yield alignment(embeddings_by(name, target, batch)).to(own)
