"""The rank of the right answer among all candidates, and the retrieval metrics that follow from ranks.

Everything is computed in float64: there the rounding of a score (about 1e-15) is far below any difference
between float32 embeddings, so that ranks do not depend on the block size or on the matrix library.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core_engine.errors import DataError

#: Cosines closer than this are one score: above float64 rounding, below what float32 embeddings can tell apart.
TIE = 1e-12


def unit_rows(rows: Tensor) -> Tensor:
    """``[n, D] -> [n, D]`` float64: every row divided by its length; a zero or non-finite row becomes zeros.

    So such a row has cosine 0 with everything, and never NaN.
    """
    rows = rows.double()
    lengths = rows.norm(dim=-1, keepdim=True)
    usable = lengths.isfinite() & (lengths > 0)
    return torch.where(usable, rows / lengths, 0.0)


def rank_of_target(
    queries: Tensor,
    candidates: Tensor,
    relevant: Tensor,
    query_groups: Tensor | None = None,
    *,
    block: int = 1024,
) -> Tensor:
    """Rank of each query's relevant candidate by cosine: 1 + the number of others that score at least as high.

    Ties count against the map: under a strict comparison a zero output would rank first. A zero or non-finite
    query ties with every candidate, so its rank is the size of its pool.

    queries ``[n, D]`` and candidates ``[m, D]`` are floating point; relevant, int64 ``[n]``, names the candidate's
    row. Candidates are distinct texts. With query_groups, int64 ``[n]``, a query is ranked only among its group's
    candidates: those relevant to some query of the group. A candidate may belong to several groups. Returns
    int64 ``[n]``.

    At most ``block x block`` scores exist at once, beside the queries in float64. Raises DataError if a candidate is
    not finite.
    """
    bad = (~candidates.isfinite().all(-1)).nonzero()
    if len(bad):
        raise DataError(
            f"{len(bad)} of {len(candidates)} candidate embeddings are not finite (the first in row {int(bad[0])}); "
            "check the teacher or the embeddings file they come from"
        )
    if query_groups is None:
        return _rank_in_pool(queries, candidates, relevant, block)

    _, groups = query_groups.unique(return_inverse=True)
    belonging = groups * len(candidates) + relevant  # one number for each (group, candidate)
    pools = belonging.unique()  # sorted, so each group's candidates lie together
    pool_sizes = torch.bincount(pools // len(candidates))
    pool_starts = pool_sizes.cumsum(0) - pool_sizes
    place_in_pool = torch.searchsorted(pools, belonging) - pool_starts[groups]

    ranks = torch.empty_like(relevant)
    rows_by_group = groups.argsort().split(groups.bincount().tolist())
    members_by_group = (pools % len(candidates)).split(pool_sizes.tolist())
    for rows, members in zip(rows_by_group, members_by_group, strict=True):
        ranks[rows] = _rank_in_pool(queries[rows], candidates[members], place_in_pool[rows], block)
    return ranks


def _rank_in_pool(queries: Tensor, candidates: Tensor, relevant: Tensor, block: int) -> Tensor:
    unit_queries = unit_rows(queries)
    least = queries.new_empty(len(queries), 1, dtype=torch.float64)
    for first in range(0, len(queries), block):
        rows = slice(first, first + block)
        least[rows] = (unit_queries[rows] * unit_rows(candidates[relevant[rows]])).sum(-1, keepdim=True) - TIE
    ranks = torch.zeros_like(relevant)
    for some in candidates.split(block):
        unit_some = unit_rows(some)
        for first in range(0, len(queries), block):
            rows = slice(first, first + block)
            # The relevant candidate is within TIE of its own score, and so is counted exactly once: the 1 of the rank.
            # Summing bytes as 32-bit numbers takes half the time of 64-bit ones.
            ranks[rows] += (unit_queries[rows] @ unit_some.T >= least[rows]).sum(-1, dtype=torch.int32)
    return ranks


def recall_at(ranks: Tensor, k: int) -> Tensor:
    """Of each query, 1 where its one relevant candidate is among the first k, else 0: float64 ``[n]``."""
    return (ranks <= k).double()


def reciprocal_rank(ranks: Tensor, k: int | None = None) -> Tensor:
    """1 / rank of each query, a rank beyond k counting 0 (Voorhees, 1999, TREC-8): float64 ``[n]``."""
    gains = ranks.double().reciprocal()
    return gains if k is None else gains * (ranks <= k)


def ndcg_at(ranks: Tensor, k: int) -> Tensor:
    """1 / log2(1 + rank) of each query, a rank beyond k counting 0: float64 ``[n]``.

    Normalised discounted cumulative gain (Järvelin and Kekäläinen, 2002) with one relevant candidate, whose ideal is 1.
    """
    return (ranks <= k) / (1.0 + ranks.double()).log2()
