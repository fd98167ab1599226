"""InfoNCE: find the row's own target among others."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core_engine import Batch, Scheduled, value_at
from core_engine.errors import TrainingError
from core_engine_losses.memory_bank import MemoryBank
from core_engine_losses.numerics import EPS, at_least_float32
from core_engine_losses.rows import RowLoss

#: Cosines are multiplied by at most this where the temperature is learned, as in CLIP (Radford et al., 2021).
MAX_SCALE = 100.0


class InfoNCELoss(RowLoss):
    """Cross-entropy of finding each row's own target among candidates.

    ``l_i = -log( exp(s_ii) / (exp(s_ii) + sum_{j in N_i} exp(s_ij)) )``, ``s_ij = cos(o_i, t_j) / temperature``

    ``N_i``, the wrong ones: the targets of the batch whose ``target_ids`` differ from the row's (one that has the same
    target text is no negative), with ``in_group`` those of the row's own group alone; those that a ``negatives``
    component found for the row; and those in the memory bank whose ids differ from the row's. A found one that equals
    the row's own target in every dimension is none.

    InfoNCE (van den Oord et al., 2018), also known as multiple negatives ranking (Henderson et al., 2017).
    ``symmetric``: the mean of this and of the same with output and target exchanged, within the batch alone (Radford et
    al., 2021). ``label_smoothing`` e: the right one gets ``1 - e`` of the mass, and all candidates of the row share e
    (Szegedy et al., 2016). ``learned``: the log of the temperature is a parameter, which itself is set back to the
    bound where an optimiser step took it beyond, so that the next one can lead away again.

    In nats, at least 0; guessing gives log(1 + negatives). A row without negatives, as all are where the batch has one
    row or one target, has a loss and a gradient of exactly 0. It counts in the mean, so that the others weigh no more
    for it.

    output, target ``[B, D]``; computed in float32, or float64 where they are, outside autocast.
    """

    def __init__(
        self,
        temperature: Scheduled,
        symmetric: bool = False,
        *,
        learned: bool = False,
        label_smoothing: float = 0.0,
        bank: MemoryBank | None = None,
        in_group: bool = False,
    ) -> None:
        super().__init__()
        self.in_group = in_group
        self.temperature, self.symmetric, self.label_smoothing = temperature, symmetric, label_smoothing
        self.log_temperature = nn.Parameter(torch.tensor(math.log(value_at(temperature, 0.0)))) if learned else None
        self.bank = bank

    def forward(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor | tuple[Tensor, dict[str, Tensor]]:  # type: ignore[override]
        loss = super().forward(output, target, batch)
        if self.log_temperature is None:
            return loss
        return loss, {"temperature": self._learned().detach()}

    def fit(self, target: Tensor, batch: Batch) -> None:
        """Before training, with the whole training split: TrainingError where no group has two different targets."""
        if not self.in_group:
            return
        answers = torch.stack([batch.group_ids, batch.target_ids]).unique(dim=1)[0]
        if len(answers) == len(answers.unique()):
            raise TrainingError(
                "loss info_nce, in_group: no group of the training rows has two different targets, so there is nothing "
                "to tell apart; name the groups in the data, or leave in_group out"
            )

    def rows(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        output, target = at_least_float32(output), at_least_float32(target)
        with torch.autocast(output.device.type, enabled=False):
            scaled_target = F.normalize(target, dim=-1, eps=EPS) / self._now(batch)
            unit = F.normalize(output, dim=-1, eps=EPS)
            logits = unit @ scaled_target.T
            same_target = batch.target_ids[:, None] == batch.target_ids
            out = same_target.fill_diagonal_(False)
            if self.in_group:
                out = out | (batch.group_ids[:, None] != batch.group_ids)
            logits = logits.masked_fill(out, -torch.inf)
            loss = self._cross_entropy(torch.cat([logits, *self._further(unit, target, batch)], dim=1))
            if self.symmetric:
                loss = (loss + self._cross_entropy(logits.T)) / 2
        if self.bank is not None and self.training:
            self.bank.push(target, batch.target_ids)
        return loss

    def _now(self, batch: Batch) -> Tensor | float:
        return value_at(self.temperature, batch.progress) if self.log_temperature is None else self._learned()

    def _learned(self) -> Tensor:
        assert self.log_temperature is not None  # noqa: S101
        with torch.no_grad():
            self.log_temperature.clamp_min_(-math.log(MAX_SCALE))
        return self.log_temperature.exp()

    def _further(self, unit: Tensor, target: Tensor, batch: Batch) -> list[Tensor]:
        """Logits ``[B, K]`` of wrong targets that are not in the batch; -inf where one is not there."""
        found = []
        if batch.negatives is not None and batch.negative_mask is not None:
            negatives = at_least_float32(batch.negatives)
            holds = batch.negative_mask & (negatives != target[:, None]).any(-1)
            unit_negatives = F.normalize(negatives, dim=-1, eps=EPS).to(unit.dtype)
            logits = torch.einsum("bd,bkd->bk", unit, unit_negatives) / self._now(batch)
            found.append(logits.masked_fill(~holds, -torch.inf))
        # On held-out rows the batch alone counts: ids of the bank are of training rows.
        if self.bank is not None and self.training:
            kept = F.normalize(self.bank.targets.to(unit.dtype), dim=-1, eps=EPS)
            logits = unit @ kept.T / self._now(batch)
            out = (batch.target_ids[:, None] == self.bank.ids) | ~self.bank.filled
            found.append(logits.masked_fill(out, -torch.inf))
        return found

    def _cross_entropy(self, logits: Tensor) -> Tensor:
        """``[B]``; the right candidate of row i is the i-th."""
        own = torch.arange(len(logits), device=logits.device)
        if not self.label_smoothing:
            return F.cross_entropy(logits, own, reduction="none")
        logs = logits.log_softmax(dim=1)
        there = logits != -torch.inf
        mean = logs.masked_fill(~there, 0).sum(1) / there.sum(1)
        return -(1 - self.label_smoothing) * logs[own, own] - self.label_smoothing * mean
