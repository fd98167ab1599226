"""What encoding took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from core_engine.contracts.objects import Teacher


@frozen
class Figures:
    """``texts``: distinct texts asked for. ``hits`` of them were in the store, ``misses`` were encoded here; what
    another process encoded meanwhile is neither. ``seconds``: wall clock, looking up included. ``usage``: what the
    teacher counted, such as ``tokens``, for the ``misses``.
    """

    texts: int = 0
    hits: int = 0
    misses: int = 0
    seconds: float = 0.0
    usage: Mapping[str, int] = field(factory=dict)

    def __add__(self, other: Figures) -> Figures:
        names = self.usage.keys() | other.usage.keys()
        return Figures(
            self.texts + other.texts,
            self.hits + other.hits,
            self.misses + other.misses,
            self.seconds + other.seconds,
            {name: self.usage.get(name, 0) + other.usage.get(name, 0) for name in sorted(names)},
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the log and ``result.json``."""
        rate = {"texts_per_s": round(self.misses / self.seconds, 1)} if self.misses and self.seconds else {}
        return {
            "texts": self.texts,
            "hits": self.hits,
            "misses": self.misses,
            "seconds": round(self.seconds, 2),
            **rate,
            **(self.usage if self.misses else {}),
        }


def usage_of(teacher: Teacher) -> dict[str, int]:
    """What a teacher that counts has counted so far."""
    return dict(getattr(teacher, "usage", {}))


def usage_since(teacher: Teacher, before: Mapping[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in usage_of(teacher).items()}
