"""A teacher with others beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from core_engine import Teacher

#: What a teacher may have, and this one has where its primary has it.
_OPTIONAL = frozenset({"chars_per_call", "check_texts", "close", "description", "stream", "usage"})


class SeveralTeachers:
    """The primary, unchanged, and ``further``: the other teachers by name, each to be asked and closed by itself."""

    def __init__(self, primary: Teacher, further: Mapping[str, Teacher]) -> None:
        self._primary = primary
        self.further = dict(further)

    @property
    def dim(self) -> int:
        return self._primary.dim

    @property
    def fingerprint(self) -> str:
        return self._primary.fingerprint

    def encode(self, texts: Sequence[str]) -> Tensor:
        """float32 ``[len(texts), dim]``, by the primary."""
        return self._primary.encode(texts)

    def __getattr__(self, name: str) -> Any:
        if name in _OPTIONAL:
            return getattr(self._primary, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
