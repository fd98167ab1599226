"""Wrong targets that are near."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor

from core_engine import Search
from core_engine_negatives.nearest import nearest

Choose = Literal["top", "random"]


@frozen
class HardNegatives:
    count: int
    candidates: int
    relative_margin: float
    refresh_every: int
    choose_by: Choose

    def choose(self, search: Search) -> tuple[Tensor, Tensor]:
        """``count`` of those that pass, int64 ``[n, count]``, and which of them are there.

        Of the ``candidates`` nearest targets by cosine ``s``, one passes where it is not the row's own and
        ``s < s_own - relative_margin |s_own|``: what is nearly as near as the right target may be right as well
        (positive-aware mining, de Souza P. Moreira et al., 2024). By ``top`` the nearest of those that pass are taken,
        nearest first; by ``random`` any of them, each as likely as another.
        """
        queries = F.normalize(search.queries, dim=-1)
        corpus = F.normalize(search.corpus, dim=-1)
        own = (queries * corpus[search.own]).sum(-1)
        similarity, rows = nearest(queries, corpus, min(self.candidates, len(corpus)))
        passes = similarity < (own - self.relative_margin * own.abs())[:, None]
        passes &= rows != search.own[:, None]
        # Those that pass first; among them nearest first, or at random: what is added is below 1.
        order = passes.float()
        if self.choose_by == "random":
            order += torch.rand(order.shape, generator=search.generator).to(order.device)
        first = order.argsort(dim=1, descending=True, stable=True)[:, : self.count]
        return rows.gather(1, first), passes.gather(1, first)
