"""What is the matter with a space of embeddings, beside how near its rows are to their targets."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from core_engine.data.pairs import Pairs
from core_engine.evaluation.metrics import cosine_of_unrelated, distinct_targets
from core_engine.evaluation.retrieval import TIE, unit_rows

#: How many answers are a row's nearest ones.
NEAREST = 10


def health(output: Tensor, pairs: Pairs, *, block: int = 1024) -> dict[str, float]:
    """Of ``output`` ``[n, D]``, one row for each of ``pairs``. Give ``pairs.targets`` for the teacher's own figures.

    With u_i the output's and t_i the target's row divided by its length, the keys are, in this order:

    - ``alignment``: mean of ‖u_i - t_i‖², from 0 to 4; lower is better.
    - ``uniformity``: log of the mean of exp(-2 ‖u_i - u_j‖²) over the pairs of rows with different target texts. 0
      where all are one point, lower where they are spread out. Both of Wang and Isola, 2020, "Understanding Contrastive
      Representation Learning through Alignment and Uniformity on the Hypersphere".
    - ``effective_rank``: exp(-Σ p_k log p_k), where p_k are the singular values, divided by their sum, of the rows u_i
      less their mean: over how many dimensions they are spread, at most min(n - 1, D) (Roy and Vetterli, 2007, "The
      Effective Rank"). An output that is constant but for rounding has 0.
    - ``anisotropy``: mean of u_i · u_j over the pairs of rows with different target texts (Ethayarajh, 2019, "How
      Contextual are Contextualized Word Representations?"). 1 where all rows have one direction.
    - ``hubness``: skewness of N_10 over the distinct answers, E[(N - μ)³] / σ³, where N_10 of an answer is the number
      of rows that have it among the 10 nearest answers by cosine (Radovanović, Nanopoulos and Ivanović, 2010, "Hubs in
      Space"). Large where few answers are near to everything; 0 where all come up equally often, and so wherever
      there are at most 10 answers.
    - ``cka``: linear centred kernel alignment with the targets, ‖TᵀU‖² / (‖UᵀU‖ ‖TᵀT‖) in Frobenius norms, columns of
      U and T centred (Kornblith et al., 2019, "Similarity of Neural Network Representations Revisited"). 1 where the
      output is the target turned, 0 where either is constant.

    All are exact, in float64, and numbers: a zero or non-finite row has u_i = 0, and is left out of N_10. At most
    ``block x block`` values exist at once beside tables of n rows. Needs at least two different target texts.
    """
    units, targets = unit_rows(output), unit_rows(pairs.targets)
    centred = _centred(units, output.dtype)
    values = {
        "alignment": (units - targets).square().sum(-1).mean(),
        "uniformity": _uniformity(units, pairs.target_ids, block),
        "effective_rank": _effective_rank(centred),
        "anisotropy": cosine_of_unrelated(units, units, pairs.target_ids),
        "hubness": _skewness(_occurrences(units[units.any(-1)], unit_rows(distinct_targets(pairs)[0]), block)),
        "cka": _linear_cka(centred, _centred(targets, pairs.targets.dtype)),
    }
    return dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True))


def _centred(units: Tensor, dtype: torch.dtype) -> Tensor:
    """Less their mean; exactly zero where all that is left of rows of that dtype is rounding."""
    centred = units - units.mean(0)
    rounding = max(TIE, 8 * torch.finfo(dtype).eps)
    return centred if centred.norm() > rounding * math.sqrt(len(units)) else torch.zeros_like(centred)


def _uniformity(units: Tensor, target_ids: Tensor, block: int) -> Tensor:
    total = units.new_zeros(())
    lengths = units.square().sum(-1)  # 1, or 0 for a row without direction
    starts = range(0, len(units), block)
    for first in starts:
        for second in starts[first // block :]:
            left, right = slice(first, first + block), slice(second, second + block)
            squares = (lengths[left, None] + lengths[right] - 2 * units[left] @ units[right].T).clamp(min=0)
            unrelated = target_ids[left, None] != target_ids[right]
            total += (1 if first == second else 2) * ((-2 * squares).exp() * unrelated).sum()
    _, sizes = target_ids.unique(return_counts=True)
    mean: Tensor = total / (len(units) ** 2 - sizes.square().sum())
    return mean.log()


def _effective_rank(centred: Tensor) -> Tensor:
    singular: Tensor = torch.linalg.svdvals(centred)
    whole = singular.sum()
    if not whole:
        return whole
    entropy: Tensor = torch.special.entr(singular / whole).sum()
    return entropy.exp()


def _occurrences(units: Tensor, answers: Tensor, block: int) -> Tensor:
    """N_10 of each of the answers, float64 ``[m]``."""
    count = units.new_zeros(len(answers))
    for nearest in _nearest(units, answers, block):
        count += torch.bincount(nearest.flatten(), minlength=len(answers))
    return count


def _nearest(units: Tensor, answers: Tensor, block: int) -> Iterator[Tensor]:
    """Numbers of the 10 nearest answers, or all, of ``block`` rows at a time: int64 ``[block, 10]``."""
    for queries in units.split(block):
        best = queries.new_empty(len(queries), 0)
        numbers = torch.empty_like(best, dtype=torch.int64)
        for first in range(0, len(answers), block):
            some = answers[first : first + block]
            scores = torch.cat([best, queries @ some.T], 1)
            candidates = torch.arange(first, first + len(some), device=numbers.device).expand(len(queries), -1)
            best, kept = scores.topk(min(NEAREST, scores.shape[1]))
            numbers = torch.cat([numbers, candidates], 1).gather(1, kept)
        yield numbers


def _skewness(count: Tensor) -> Tensor:
    deviation = count - count.mean()
    spread = deviation.square().mean().sqrt()
    return (deviation / spread).pow(3).mean() if spread else spread


def _linear_cka(left: Tensor, right: Tensor) -> Tensor:
    scale: Tensor = (left.T @ left).norm() * (right.T @ right).norm()
    return (right.T @ left).square().sum() / scale if scale else scale
