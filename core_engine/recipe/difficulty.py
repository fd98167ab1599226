"""What makes a training row difficult."""

from __future__ import annotations

from typing import Annotated

from attrs import field, frozen
from attrs.validators import min_len

from core_engine.recipe.slots import Choice


@frozen
class Similarity:
    """Pairs whose question and answer the teacher finds less alike are harder: 1 minus their cosine."""


@frozen
class Length:
    """Pairs with more words, question and answer together, are harder."""


@frozen
class Rarity:
    """Pairs of rarer words are harder: mean over a pair's words of -log of their share of all words in training.

    The mean rather than the sum (Platanios et al., 2019), which is length for the most part.
    """


@frozen
class Given:
    """The data say so, under a key of each row: a number, or one of the names in ``order``."""

    key: str = field(default="difficulty", validator=min_len(1))
    #: Names from easy to hard; null where the rows hold numbers.
    order: list[str] | None = None


DIFFICULTIES = {"similarity": Similarity, "length": Length, "rarity": Rarity, "given": Given}
Difficulty = Annotated[Similarity | Length | Rarity | Given, Choice(DIFFICULTIES)]
