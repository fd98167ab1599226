"""How good a rephrased question is: still about the same, in other words, and of like length."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import Attribute, field, frozen
from attrs.validators import ge

from core_engine.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

_WORD = re.compile(r"\w+(?:['’]\w+)*")  # noqa: RUF001 -- both apostrophes


def _not_all_zero(instance: Weights, attribute: Attribute[float], value: float) -> None:
    if not instance.relevance + instance.novelty + instance.length:
        raise ValueError("at least one weight must be above 0")


@frozen(kw_only=True)
class Weights:
    """What each part of quality counts, relative to the others. A weight of 0 leaves the part out."""

    relevance: float = field(default=0.6, validator=ge(0))
    novelty: float = field(default=0.2, validator=ge(0))
    length: float = field(default=0.2, validator=[ge(0), _not_all_zero])


@frozen
class Quality:
    """``total`` and its parts, each from 0 to 1. ``relevance`` is None where its weight is 0."""

    total: float
    relevance: float | None
    novelty: float
    length: float


def judged(
    pairs: Sequence[tuple[str, str]], weights: Weights, embed: Callable[[Sequence[str]], Tensor] | None
) -> list[Quality]:
    """The quality of each ``(original, rephrased)``. DataError where relevance counts and there is no teacher."""
    relevances: Sequence[float | None] = [None] * len(pairs)
    if weights.relevance:
        if embed is None:
            raise DataError(
                "expand: relevance is judged by the run's teacher, and there is none: choose one under 'teacher', or "
                "set weights: {relevance: 0}"
            )
        relevances = _relevance(pairs, embed)
    return [_quality(*pair, relevance, weights) for pair, relevance in zip(pairs, relevances, strict=True)]


def _quality(original: str, rephrased: str, relevance: float | None, weights: Weights) -> Quality:
    fresh, like = novelty(original, rephrased), length_ratio(original, rephrased)
    counted = weights.relevance * (relevance or 0.0) + weights.novelty * fresh + weights.length * like
    return Quality(counted / (weights.relevance + weights.novelty + weights.length), relevance, fresh, like)


def _relevance(pairs: Sequence[tuple[str, str]], embed: Callable[[Sequence[str]], Tensor]) -> list[float]:
    """The cosine of each pair's embeddings, negative ones as 0."""
    import torch.nn.functional as F

    if not pairs:
        return []
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    number = {text: i for i, text in enumerate(texts)}
    rows = embed(texts)
    originals = rows[[number[original] for original, _ in pairs]]
    rephrased = rows[[number[text] for _, text in pairs]]
    cosines: Any = F.cosine_similarity(originals.double(), rephrased.double(), dim=-1).clamp(0, 1)
    return list(cosines.tolist())


def novelty(original: str, rephrased: str) -> float:
    """One less the Jaccard index of the sets of words: the share of all words that only one of the two has."""
    ours, theirs = words(original), words(rephrased)
    return 1 - len(ours & theirs) / len(ours | theirs) if ours | theirs else 0.0


def length_ratio(original: str, rephrased: str) -> float:
    """Characters of the shorter text over those of the longer."""
    lengths = (len(original), len(rephrased))
    return min(lengths) / max(lengths) if max(lengths) else 0.0


def words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
