"""Wrong targets at random."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from core_engine import Search


@frozen
class RandomNegatives:
    count: int
    refresh_every: int

    def choose(self, search: Search) -> tuple[Tensor, Tensor]:
        """int64 ``[n, count]``, uniform over the targets that are not the row's own, and a mask that is all true."""
        others = len(search.corpus) - 1
        drawn = torch.randint(others, (len(search.queries), self.count), generator=search.generator)
        drawn = drawn.to(search.own.device)
        # One is left out: those from the row's own on move up by one.
        rows = drawn + (drawn >= search.own[:, None])
        return rows, torch.ones_like(rows, dtype=torch.bool)
