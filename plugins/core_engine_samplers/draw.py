"""Numbers drawn without replacement."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

#: Up to so many numbers, shuffling all of them takes a tenth of a millisecond.
SHUFFLED = 16_384


def draw(count: int, size: int, source: Generator, shuffled: int = SHUFFLED) -> Tensor:
    """``size`` of the numbers from 0 to ``count - 1``, uniformly and in random order: int64 ``[size]``.

    Where ``size`` is more than ``count``, each comes up as often as any other, to within one. Beyond ``shuffled``
    numbers, and where ``size`` is less than a quarter of them, the time it takes does not depend on ``count``.
    """
    if count <= max(4 * size, shuffled):
        rounds = range(math.ceil(size / count))
        return torch.cat([torch.randperm(count, generator=source) for _ in rounds])[:size]
    found = torch.empty(0, dtype=torch.int64)
    while len(found) < size:
        found = torch.cat([found, torch.randint(count, (2 * size,), generator=source)]).unique()
    return found[torch.randperm(len(found), generator=source)[:size]]
