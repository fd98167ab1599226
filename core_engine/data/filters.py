"""Leaves out rows that would teach nothing, and counts them by rule."""

from __future__ import annotations

from collections import Counter

from attrs import frozen

from core_engine.contracts.data import Example
from core_engine.recipe.schema import Filters


@frozen
class Filtered:
    """``dropped``: rule -> rows; only rules that dropped something."""

    rows: list[Example]
    dropped: dict[str, int]


def filter_examples(rows: list[Example], filters: Filters, training: bool) -> Filtered:
    """Applies the rules on texts in the order of the schema; embeddings pass. ``training``: whether these are training
    rows.
    """
    if not isinstance(rows[0].input, str):
        return Filtered(rows, {})
    once = filters.drop_duplicates == "all" or (filters.drop_duplicates == "train" and training)
    kept: list[Example] = []
    dropped: Counter[str] = Counter()
    seen: set[tuple[str, str | None]] = set()
    for row in rows:
        pair = _texts(row)
        rule = _broken_rule(pair, filters)
        if rule is None and once and pair in seen:
            rule = "drop_duplicates"
        seen.add(pair)
        if rule is None:
            kept.append(row)
        else:
            dropped[rule] += 1
    return Filtered(kept, dict(dropped))


def _texts(row: Example) -> tuple[str, str | None]:
    """The texts without white space at the ends, which no rule counts."""
    target = row.target.strip() if isinstance(row.target, str) else None
    return str(row.input).strip(), target


def _broken_rule(pair: tuple[str, str | None], filters: Filters) -> str | None:
    texts = [text for text in pair if text is not None]
    if not all(texts):
        return "empty"
    if min(map(len, texts)) < filters.min_chars:
        return "min_chars"
    if filters.max_chars is not None and max(map(len, texts)) > filters.max_chars:
        return "max_chars"
    if filters.drop_identical and pair[0] == pair[1]:
        return "drop_identical"
    return None
