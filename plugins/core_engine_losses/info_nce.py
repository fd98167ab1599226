"""InfoNCE over the batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from core_engine import Batch, Loss
from core_engine_losses.numerics import EPS, at_least_float32


def info_nce(temperature: float, symmetric: bool) -> Loss:
    """Cross-entropy of finding each row's own target among the targets of the batch.

    ``L = mean_i -log( exp(s_ii) / (exp(s_ii) + sum_{j in N_i} exp(s_ij)) )``, ``s_ij = cos(o_i, t_j) / temperature``,
    ``N_i = {j : target_ids_j != target_ids_i}``: a row that has the same target text is no negative.

    InfoNCE (van den Oord et al., 2018), also known as multiple negatives ranking (Henderson et al., 2017).
    ``symmetric``: the mean of this and of the same with output and target exchanged (Radford et al., 2021).

    In nats, at least 0; guessing gives log(1 + negatives). A row without negatives, as all are where the batch has one
    row or one target, has a loss and a gradient of exactly 0. It counts in the mean, so that the others weigh no more
    for it.

    output, target ``[B, D]``; computed in float32, or float64 where they are, outside autocast. Returns a scalar of
    that dtype.
    """

    def loss(output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        output, target = at_least_float32(output), at_least_float32(target)
        with torch.autocast(output.device.type, enabled=False):
            scaled_target = F.normalize(target, dim=-1, eps=EPS) / temperature
            logits = F.normalize(output, dim=-1, eps=EPS) @ scaled_target.T
            same_target = batch.target_ids[:, None] == batch.target_ids
            same_target.fill_diagonal_(False)
            logits = logits.masked_fill(same_target, -torch.inf)
            own = torch.arange(len(logits), device=logits.device)
            if not symmetric:
                return F.cross_entropy(logits, own)
            return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    return loss
