"""Uniformity: outputs spread over the sphere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core_engine import Batch
from core_engine_losses.numerics import EPS, at_least_float32


class UniformityLoss(nn.Module):
    """The diversity term: how far outputs are from standing evenly on the unit sphere.

    ``L = log mean over pairs i < j in P of exp(-t |o_i - o_j|^2)``, outputs scaled to unit length

    Wang & Isola (2020), eq. 5. P leaves out pairs with equal target ids, which ought to be alike. In nats: 0 where all
    outputs are the same, -4 t where all are opposite. A batch without a pair gives exactly 0.

    output ``[B, D]``; computed in float32, or float64 where it is, outside autocast. Returns a scalar of that dtype.
    """

    def __init__(self, t: float) -> None:
        super().__init__()
        self.t = t

    def forward(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        output = at_least_float32(output)
        with torch.autocast(output.device.type, enabled=False):
            unit = F.normalize(output, dim=-1, eps=EPS)
            lengths = unit.square().sum(-1)
            squared = (lengths[:, None] + lengths - 2 * unit @ unit.T).clamp_min(0)
            different = batch.target_ids[:, None] != batch.target_ids
            some = different.any()
            # As a whole, since with a large t each exponential by itself would be 0. Without a pair it would be -inf
            # and its gradient no number, so all are then in the sum, which is not used.
            exponents = (-self.t * squared).masked_fill(~different & some, -torch.inf)
            # Each pair stands twice, in the sum and in the count.
            mean = exponents.flatten().logsumexp(0) - different.sum().clamp_min(1).to(squared.dtype).log()
            return torch.where(some, mean, 0)
