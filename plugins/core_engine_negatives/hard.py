"""Wrong targets that are near."""

from __future__ import annotations

import torch.nn.functional as F
from attrs import frozen
from torch import Tensor

from core_engine import Search
from core_engine_negatives.nearest import nearest


@frozen
class HardNegatives:
    count: int
    candidates: int
    relative_margin: float
    refresh_every: int

    def choose(self, search: Search) -> tuple[Tensor, Tensor]:
        """The ``count`` nearest of those that pass, int64 ``[n, count]``, and which of them are there.

        Of the ``candidates`` nearest targets by cosine ``s``, one passes where it is not the row's own and
        ``s < s_own - relative_margin |s_own|``: what is nearly as near as the right target may be right as well
        (positive-aware mining, de Souza P. Moreira et al., 2024). Nothing random is in it.
        """
        queries = F.normalize(search.queries, dim=-1)
        corpus = F.normalize(search.corpus, dim=-1)
        own = (queries * corpus[search.own]).sum(-1)
        similarity, rows = nearest(queries, corpus, min(self.candidates, len(corpus)))
        passes = similarity < (own - self.relative_margin * own.abs())[:, None]
        passes &= rows != search.own[:, None]
        count = min(self.count, rows.shape[1])
        # Those that pass first, nearest first among them.
        first = passes.byte().argsort(dim=1, descending=True, stable=True)[:, :count]
        return rows.gather(1, first), passes.gather(1, first)
