"""What every evaluation reports of a map's output."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
import torch
from torch import Tensor

from core_engine.data.pairs import Pairs
from core_engine.errors import DataError
from core_engine.evaluation.retrieval import (
    ndcg_at,
    rank_of_target,
    recall_at,
    reciprocal_rank,
    unit_rows,
)

log = structlog.get_logger("core_engine.evaluation")


def evaluate(output: Tensor, pairs: Pairs, corpus: Tensor | None = None) -> dict[str, float]:
    """Score ``output`` ``[n, D]``, one row for each of ``pairs``, in the teacher's own space.

    With o_i and t_i the output and target rows, ^ for division by length, and n rows, the keys are, in this order:

    - ``cosine``: mean of ô_i · t̂_i.
    - ``cosine_shuffled``: mean of ô_i · t̂_j over all pairs of rows with different target texts. It is exact: no
      permutation is drawn.
    - ``cosine_gap``: cosine - cosine_shuffled: what is left once the likeness of unrelated texts is taken off
      (Ethayarajh, 2019, "How Contextual are Contextualized Word Representations?").
    - ``cosine_centred``: the cosine after each side's own mean over these rows is taken off (Mu and Viswanath,
      2018, "All-but-the-Top", of which this is the first step).
    - ``constant_cosine``: the most that one vector, the same for every row, can reach: the length of the mean of
      t̂_i, reached by its direction (the mean resultant length; Mardia and Jupp, 2000, "Directional Statistics").
    - ``recall@1``, ``recall@10``, ``mrr@10``, ``ndcg@10``: retrieval of the row's target among all distinct
      targets and the rows of ``corpus`` ``[m, D]``, which holds no text that is a target. Formulas and sources
      stand in :mod:`core_engine.evaluation.retrieval`.
    - ``within_recall@1``, ``within_mrr`` (without a cut-off): the same among the targets of the row's own group
      only, over the rows whose group holds at least two targets (NaN where none does); present where
      ``pairs.group_ids`` is.

    A row that is not finite is scored as zeros and ranks last; a warning says how many there were. Raises
    DataError where all targets are one text, so that there is nothing to tell apart, or where a target or corpus
    row is not finite, and ValueError where the shapes do not match.
    """
    return summary(output, pairs, score_rows(output, pairs, corpus))


def summary(output: Tensor, pairs: Pairs, by_row: Mapping[str, Tensor]) -> dict[str, float]:
    """What :func:`evaluate` gives, of ``by_row``, what :func:`score_rows` has given."""
    output = _with_finite_rows(output)
    outputs, targets = unit_rows(output), unit_rows(pairs.targets)
    means = {name: values.nanmean() for name, values in by_row.items()}

    cosine = means.pop("cosine")
    shuffled = cosine_of_unrelated(outputs, targets, pairs.target_ids)
    scores = {
        "cosine": cosine,
        "cosine_shuffled": shuffled,
        "cosine_gap": cosine - shuffled,
        "cosine_centred": (_centred(output) * _centred(pairs.targets)).sum(-1).mean(),
        "constant_cosine": targets.mean(0).norm(),
        **means,
    }
    return dict(zip(scores, torch.stack(list(scores.values())).tolist(), strict=True))


def score_rows(output: Tensor, pairs: Pairs, corpus: Tensor | None = None) -> dict[str, Tensor]:
    """Of the metrics of :func:`evaluate`, those that are means over rows, row by row: float64 ``[n]`` each, NaN for a
    row that does not count. Arguments and errors as there.
    """
    if output.shape != pairs.targets.shape:
        raise ValueError(
            f"output must have the shape of the targets, {list(pairs.targets.shape)}, not {list(output.shape)}"
        )
    candidates, relevant = distinct_targets(pairs)
    if len(candidates) < 2:
        raise DataError(
            f"evaluation needs at least two different target texts, but these {len(pairs)} rows have "
            f"{len(candidates)}; give the split more rows"
        )
    finite = output.isfinite().all(-1)
    lost = len(output) - int(finite.sum())
    if lost:
        log.warning("output rows are not finite and rank last", rows=lost, of=len(output))
    output = _with_finite_rows(output)
    scores = {"cosine": (unit_rows(output) * unit_rows(pairs.targets)).sum(-1)}
    pool = candidates if corpus is None else torch.cat([candidates, corpus])
    ranks = rank_of_target(output, pool, relevant)
    scores |= {
        "recall@1": recall_at(ranks, 1),
        "recall@10": recall_at(ranks, 10),
        "mrr@10": reciprocal_rank(ranks, 10),
        "ndcg@10": ndcg_at(ranks, 10),
    }
    if pairs.group_ids is not None:
        ranks = rank_of_target(output, candidates, relevant, pairs.group_ids)
        within = {"within_recall@1": recall_at(ranks, 1), "within_mrr": reciprocal_rank(ranks)}
        rivals = _has_rivals(pairs.group_ids, relevant, len(candidates))
        scores |= {name: torch.where(rivals, values, torch.nan) for name, values in within.items()}
    return scores


def _has_rivals(group_ids: Tensor, relevant: Tensor, count: int) -> Tensor:
    """Bool ``[n]``: rows whose group holds another target than their own. Where there is none, there is nothing to
    find.
    """
    _, groups = group_ids.unique(return_inverse=True)
    pools = (groups * count + relevant).unique()
    return torch.bincount(pools // count)[groups] > 1


def _with_finite_rows(output: Tensor) -> Tensor:
    return torch.where(output.isfinite().all(-1, keepdim=True), output, 0.0)


def _centred(rows: Tensor) -> Tensor:
    rows = rows.double()
    return unit_rows(rows - rows.mean(0))


def cosine_of_unrelated(left: Tensor, right: Tensor, target_ids: Tensor) -> Tensor:
    """Mean of left_i · right_j, unit rows ``[n, D]``, over all pairs of rows with different targets; float64 ``[]``.

    (Σl · Σr - Σ_k (Σ_{i in k} l_i · Σ_{j in k} r_j)) / (n² - Σ_k n_k²), where k are the distinct targets.
    """
    ids, relevant = target_ids.unique(return_inverse=True)
    shape = (len(ids), left.shape[1])
    left_of = left.new_zeros(shape).index_add_(0, relevant, left)
    right_of = right.new_zeros(shape).index_add_(0, relevant, right)
    unrelated = len(left) ** 2 - relevant.bincount().square().sum()
    mean: Tensor = (left_of.sum(0) @ right_of.sum(0) - (left_of * right_of).sum()) / unrelated
    return mean


def distinct_targets(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Of ``pairs``, each distinct target once, ``[m, D]``, and the number of each row's own among them, int64
    ``[n]``.
    """
    ids, relevant = pairs.target_ids.unique(return_inverse=True)
    rows = torch.arange(len(relevant), device=relevant.device)
    first = rows.new_full((len(ids),), len(relevant)).scatter_reduce_(0, relevant, rows, "amin")
    return pairs.targets[first], relevant
