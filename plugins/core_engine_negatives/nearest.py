"""The nearest rows of a corpus, in bounded memory.

Exact, in blocks: at sizes where training embeddings fit in memory this takes seconds (benchmarks/negatives.py), and
needs no index that would be approximate and stale after each refresh.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Rows of a block of queries and of the corpus: 16 MiB of similarities at a time. Wide blocks, since each is searched.
QUERIES, CORPUS = 256, 16_384


def nearest(
    queries: Tensor, corpus: Tensor, count: int, block: tuple[int, int] = (QUERIES, CORPUS)
) -> tuple[Tensor, Tensor]:
    """Largest inner products of ``queries [n, D]`` with ``corpus [m, D]`` and where they are: both ``[n, count]``,
    largest first. ``count`` is at most m. Besides the result, for ``block`` rows of queries and corpus, ``block[0] *
    (block[1] + 2 count)`` similarities are held at a time.
    """
    # Written into, not collected: small results that outlive a block would keep its memory from the next one.
    values = queries.new_empty(len(queries), count)
    places = torch.empty(len(queries), count, dtype=torch.int64, device=queries.device)
    for some, value, place in zip(*(rows.split(block[0]) for rows in (queries, values, places)), strict=True):
        best, where = value[:, :0], place[:, :0]
        for start in range(0, len(corpus), block[1]):
            part = some @ corpus[start : start + block[1]].T
            found, at = part.topk(min(count, part.shape[1]), dim=1)
            del part  # before the next one is made
            best, chosen = torch.cat([best, found], 1).topk(min(count, best.shape[1] + found.shape[1]), dim=1)
            where = torch.cat([where, at + start], 1).gather(1, chosen)
        value.copy_(best)
        place.copy_(where)
    return values, places
