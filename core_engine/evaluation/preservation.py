"""Whether a map keeps what the teacher says of the answers: which are alike, not only which is the right one."""

from __future__ import annotations

import torch
from torch import Tensor

from core_engine.data.pairs import Pairs
from core_engine.evaluation.health import NEAREST
from core_engine.evaluation.metrics import distinct_targets
from core_engine.evaluation.retrieval import TIE, unit_rows

#: Cosines at a time.
_SCORES = 2**21


def preservation(output: Tensor, pairs: Pairs, *, scores: int = _SCORES) -> dict[str, float]:
    """Of each row, two lists of cosines with all m distinct answers, its own included: the output's, and its target's.
    Means over the rows of

    - ``rank_correlation``: Spearman's correlation of the two (Spearman, 1904, "The Proof and Measurement of Association
      between Two Things"), that is Pearson's of their ranks, of equal cosines the mean rank. Comparing spaces by their
      lists of similarities is representational similarity analysis (Kriegeskorte, Mur and Bandettini, 2008).
    - ``overlap@10``: the share of the 10 nearest answers, or of all where there are fewer, that is in both lists.

    Both are 1 where the output is the target and no two answers are one point. A row whose output or target is zero or
    not finite counts 0 in both. Cosines closer than 1e-12 are equal. Computed in float64; about ``scores`` cosines
    exist at once, and m at least. Needs at least two different target texts.
    """
    answers = unit_rows(distinct_targets(pairs)[0])
    outputs, targets = unit_rows(output), unit_rows(pairs.targets)
    correlation, overlap = outputs.new_zeros(()), outputs.new_zeros(())
    for rows in torch.arange(len(outputs), device=outputs.device).split(max(1, scores // len(answers))):
        (ours, our_order), (theirs, their_order) = (_ranked(units[rows] @ answers.T) for units in (outputs, targets))
        usable = outputs[rows].any(-1) & targets[rows].any(-1)
        correlation += (_correlation(ours, theirs) * usable).sum()
        near, true = our_order[:, :NEAREST], their_order[:, :NEAREST]
        common = (near[:, :, None] == true[:, None]).any(-1)
        overlap += (common.double().mean(-1) * usable).sum()
    return {"rank_correlation": float(correlation / len(outputs)), "overlap@10": float(overlap / len(outputs))}


def _ranked(cosines: Tensor) -> tuple[Tensor, Tensor]:
    """Ranks from 0, the highest first, equal values sharing their mean rank, and the order, int64: ``[n, m]`` both."""
    values, order = cosines.sort(dim=-1, descending=True)
    places = torch.arange(values.shape[1], dtype=torch.float64, device=values.device)
    differs = values[:, :-1] - values[:, 1:] > TIE
    ranks = places.expand_as(values)
    if not differs.all():
        edge = values.new_ones(len(values), 1, dtype=torch.bool)
        first = torch.where(torch.cat([edge, differs], 1), places, 0).cummax(-1).values
        last = torch.where(torch.cat([differs, edge], 1), places, torch.inf).flip(-1).cummin(-1).values.flip(-1)
        ranks = (first + last) / 2
    return torch.empty_like(values).scatter_(-1, order, ranks), order


def _correlation(left: Tensor, right: Tensor) -> Tensor:
    """Pearson's, row by row ``[n]``; 0 where all values of a row are equal."""
    left, right = (ranks - (ranks.shape[1] - 1) / 2 for ranks in (left, right))
    scale = left.norm(dim=-1) * right.norm(dim=-1)
    return torch.where(scale > 0, (left * right).sum(-1) / scale, 0.0)
