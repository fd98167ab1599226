"""Distillation of how alike the rows of a batch are to one another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from core_engine import Batch, Scheduled, value_at
from core_engine_losses.numerics import EPS, at_least_float32
from core_engine_losses.pairwise import without_diagonal
from core_engine_losses.reference import embeddings_by


class SimilarityDivergence:
    """Divergence of the student's distribution over the other rows of the batch from the teacher's.

    ``L = T^2 mean_i sum_{j != i} p_ij log(p_ij / q_ij)``, ``p_i = softmax_{j != i}(cos(t_i, t_j) / T)``,
    ``q_i`` the same of the outputs. The factor keeps the size of gradients where ``T`` changes (Hinton et al., 2015);
    distributions over the batch in place of classes as in CompRess (Koohpayegani et al., 2020).

    ``teacher``: a further teacher whose embeddings give ``t``, of any dimension; None for the target. In nats, at least
    0; it is 0 wherever the cosines differ by a constant, and in a batch of fewer than three rows.

    output ``[B, D]``, embeddings of the teacher ``[B, D_k]``; computed in float32, or float64 where they are, outside
    autocast. Returns a scalar of that dtype.
    """

    def __init__(self, temperature: Scheduled, teacher: str | None) -> None:
        self._temperature = temperature
        self._teacher = teacher

    def __call__(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        return self.rows(output, target, batch).mean()

    def rows(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        """The loss of each row, ``[B]``."""
        temperature = value_at(self._temperature, batch.progress)
        teacher = embeddings_by(self._teacher, target, batch)
        with torch.autocast(output.device.type, enabled=False):
            student_log, teacher_log = _log_shares(output, temperature), _log_shares(teacher, temperature)
            divergence = F.kl_div(student_log, teacher_log, reduction="none", log_target=True).sum(-1)
        return temperature**2 * divergence


def _log_shares(embeddings: Tensor, temperature: float) -> Tensor:
    """Log of each row's softmax over the others: ``[B, D] -> [B, B - 1]``."""
    unit = F.normalize(at_least_float32(embeddings), dim=-1, eps=EPS)
    return F.log_softmax(without_diagonal(unit @ unit.T) / temperature, dim=-1)
