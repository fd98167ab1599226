"""How much each of several teachers counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core_engine import Batch, Scheduled, value_at
from core_engine_losses.numerics import EPS

#: What cosines are divided by where teachers are asked which target is the row's own; that of ``info_nce``.
_SIMILARITY_TEMPERATURE = 0.05
#: The logit of a share of 0: its weight is exactly 0 beside any other, and yet a number where none else is left.
_LOGIT_OF_ZERO = -1e5


class Rule(Protocol):
    """An ``nn.Module`` that says what teachers are worth.

    ``aligned``: ``[K, B, D]``, the targets by each of K teachers in the primary's space; ``target``: ``[B, D]``, the
    primary's own. Returns logits ``[B or 1, K]``, whose softmax over K are the weights in each row.
    """

    def __call__(self, aligned: Tensor, target: Tensor, batch: Batch) -> Tensor: ...
    def validated(self, scores: Tensor) -> None:
        """After an evaluation: the mean cosine between outputs and each teacher's aligned targets, ``[K]``."""


class FixedShares(nn.Module):
    """Shares of the recipe, over their sum; they may change with the run's progress."""

    def __init__(self, shares: Sequence[Scheduled]) -> None:
        super().__init__()
        self._shares = list(shares)

    def forward(self, aligned: Tensor, target: Tensor, batch: Batch) -> Tensor:
        shares = (value_at(share, batch.progress) for share in self._shares)
        logits = (math.log(share) if share else _LOGIT_OF_ZERO for share in shares)
        # Filled on the device: a copy of a list would wait for it.
        return torch.stack([target.new_full((), logit) for logit in logits])[None]

    def validated(self, scores: Tensor) -> None:
        pass


class Confidence(nn.Module):
    """Per row, by how well a teacher tells the row's own target from the others in the batch.

    ``logit_ik = -H_ik / temperature``, ``H_ik = -log softmax_j(cos(a_ki, t_j) / 0.05)_i`` in nats, with ``a_k`` the
    aligned targets of teacher k and ``t`` those of the primary; rows with the same target text are left out. The idea
    is that of CA-MKD (Zhang et al., 2022), which weighs teachers per sample by their cross-entropy with the label; here
    the right answer takes the label's place. The primary knows its own targets, and so weighs most as a rule.
    """

    def __init__(self, temperature: Scheduled) -> None:
        super().__init__()
        self._temperature = temperature

    def forward(self, aligned: Tensor, target: Tensor, batch: Batch) -> Tensor:
        teachers, rows, _ = aligned.shape
        same_target = batch.target_ids[:, None] == batch.target_ids
        same_target.fill_diagonal_(False)
        known = F.normalize(target, dim=-1, eps=EPS) / _SIMILARITY_TEMPERATURE
        logits = (F.normalize(aligned, dim=-1, eps=EPS) @ known.T).masked_fill(same_target, -torch.inf)
        own = torch.arange(rows, device=target.device).repeat(teachers)
        entropy = F.cross_entropy(logits.flatten(0, 1), own, reduction="none").view(teachers, rows)
        return -entropy.T / value_at(self._temperature, batch.progress)

    def validated(self, scores: Tensor) -> None:
        pass


class Adaptive(nn.Module):
    """By how near the outputs came to a teacher's aligned targets in the last ``window`` evaluations.

    ``logit_k = mean over evaluations of mean_i cos(o_i, a_ki) / temperature``: all equal before the first evaluation.
    The teachers that the core can follow count more. The scores are float32 buffers ``[window, K]``, newest first.
    """

    scores: Tensor
    evaluations: Tensor

    def __init__(self, count: int, window: int, temperature: Scheduled) -> None:
        super().__init__()
        self._temperature = temperature
        self.register_buffer("scores", torch.zeros(window, count))
        self.register_buffer("evaluations", torch.zeros((), dtype=torch.int64))

    def forward(self, aligned: Tensor, target: Tensor, batch: Batch) -> Tensor:
        mean = self.scores.sum(0) / self.evaluations.clamp(1, len(self.scores))
        return mean[None] / value_at(self._temperature, batch.progress)

    def validated(self, scores: Tensor) -> None:
        self.scores.copy_(torch.cat([scores[None].to(self.scores), self.scores[:-1]]))
        self.evaluations += 1


class TeacherWeights(nn.Module):
    """Weights that sum to 1, and which teachers have been dropped: a bool buffer ``[K]``.

    A teacher whose weight falls below ``drop_below`` counts for nothing from that batch of training on, and the others
    share its weight; the one with the largest weight always stays. On held-out rows nothing is remembered.
    """

    dropped: Tensor

    def __init__(self, rule: Rule, count: int, drop_below: float) -> None:
        super().__init__()
        self.rule = rule
        self._drop_below = drop_below
        self.register_buffer("dropped", torch.zeros(count, dtype=torch.bool))

    @torch.no_grad()
    def forward(self, aligned: Tensor, target: Tensor, batch: Batch) -> Tensor:
        """``[K, B, D]`` and ``[B, D]``, float32 or float64; the weights ``[K]``, without gradient."""
        logits = self.rule(aligned, target, batch)
        weights = _mean_shares(logits, self.dropped)
        low = (weights < self._drop_below) & (weights < weights.max())
        dropped = self.dropped | low
        if self.training:
            self.dropped.copy_(dropped)
        return _mean_shares(logits, dropped)

    def validated(self, scores: Tensor) -> None:
        """After an evaluation: the mean cosine between outputs and each teacher's aligned targets, ``[K]``."""
        self.rule.validated(scores)


def _mean_shares(logits: Tensor, dropped: Tensor) -> Tensor:
    """``[R, K] -> [K]``: softmax over the teachers that are left, mean over rows."""
    return logits.masked_fill(dropped, -torch.inf).softmax(-1).mean(0)
