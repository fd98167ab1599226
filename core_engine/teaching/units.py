"""The order in which texts are encoded, and how many at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from attrs import frozen

from core_engine.errors import EngineError

#: Characters of text that a teacher without ``chars_per_call`` is handed at a time, which is what a crash can cost.
CHARS_PER_CALL = 65_536
#: What a text counts for at least: its special tokens, its row.
_SHORTEST = 16


@frozen
class Share:
    """Which part of the work is this process's: ``rank`` of ``size`` processes that were started together."""

    rank: int = 0
    size: int = 1


def launched_share() -> Share:
    """By the environment variables that ``torchrun`` sets; the whole where there are none.

    EngineError where they make no sense.
    """
    rank, size = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise EngineError(f"environment variables RANK={rank} and WORLD_SIZE={size}: a rank is 0 to WORLD_SIZE - 1")
    return Share(int(rank), int(size))


def by_length(texts: Iterable[str]) -> list[str]:
    """Longest first, in an order that depends on the texts alone.

    Texts of like length pad one another little, and what is too long or does not fit in memory shows at once; processes
    that share a list agree on its order.
    """
    return sorted(texts, key=lambda text: (-len(text), text))


def cut(texts: Iterable[str], chars: int) -> Iterator[list[str]]:
    """Consecutive texts in units of at most ``chars`` characters; a text longer than that is a unit of its own."""
    unit: list[str] = []
    room = chars
    for text in texts:
        cost = max(len(text), _SHORTEST)
        if unit and cost > room:
            yield unit
            unit, room = [], chars
        unit.append(text)
        room -= cost
    if unit:
        yield unit
