"""Which keys of a row hold what."""

from __future__ import annotations

from attrs import asdict, frozen


@frozen
class Columns:
    """Names of the keys (``.jsonl``, ``.json``) or columns (``.csv``) to read; None for the usual ones."""

    question: str | None = None
    answer: str | None = None
    group: str | None = None
    id: str | None = None

    def given(self) -> dict[str, str]:
        """Field to name, where one was named."""
        return {field: name for field, name in asdict(self).items() if name is not None}
