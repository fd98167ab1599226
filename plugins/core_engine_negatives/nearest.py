"""The nearest rows of a corpus, in bounded memory.

Exact, in blocks: at sizes where training embeddings fit in memory this takes seconds (benchmarks/negatives.py), and
needs no index that would be approximate and stale after each refresh.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Rows of a block of queries and of the corpus: 16 MiB of similarities at a time.
BLOCK = 2048


def nearest(queries: Tensor, corpus: Tensor, count: int, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """Largest inner products of ``queries [n, D]`` with ``corpus [m, D]`` and where they are: both ``[n, count]``,
    largest first. ``count`` is at most m. Besides the result, ``block * (block + 2 count)`` values are held at a time.
    """
    values, places = [], []
    for some in queries.split(block):
        best = queries.new_empty(len(some), 0)
        where = torch.empty(len(some), 0, dtype=torch.int64, device=queries.device)
        for start in range(0, len(corpus), block):
            part = some @ corpus[start : start + block].T
            found, at = part.topk(min(count, part.shape[1]), dim=1)
            best, chosen = torch.cat([best, found], 1).topk(min(count, best.shape[1] + found.shape[1]), dim=1)
            where = torch.cat([where, at + start], 1).gather(1, chosen)
        values.append(best)
        places.append(where)
    return torch.cat(values), torch.cat(places)
