"""Splits rows by whole groups, the same way for the same seed, whatever the order of the rows."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable

from core_engine.contracts.data import Example
from core_engine.errors import DataError


def split_by_group(rows: list[Example], shares: dict[str, float], seed: int) -> dict[str, list[Example]]:
    """``shares``: part -> share of rows to hold out. The rest is ``train``. No group, and no text, stands in two parts.

    Rows without a group form one with every row that shares a text with them. Groups are taken in the order of a hash
    of seed and name, each to the part that lacks most of its share. DataError where a part would stay empty.
    """
    members: dict[str, list[Example]] = defaultdict(list)
    for row, group in zip(rows, _groups(rows), strict=True):
        members[group].append(row)
    if len(members) < len(shares) + 1:
        raise DataError(
            f"{len(rows)} rows in {len(members)} groups cannot be split into train, {', '.join(shares)}: "
            f"each part needs a group of its own; give more data, or validation and test files"
        )
    order = sorted(members, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())
    wanted = {**{part: share * len(rows) for part, share in shares.items()}}
    wanted["train"] = len(rows) - sum(wanted.values())
    part_of: dict[str, str] = {}
    filled = dict.fromkeys(wanted, 0)
    for position, group in enumerate(order):
        empty = [part for part in wanted if not filled[part]]
        # The last groups go where there is nothing yet, so that no part stays empty.
        open_parts = empty if len(order) - position <= len(empty) else list(wanted)
        part = max(open_parts, key=lambda p: (wanted[p] - filled[p]) / wanted[p])
        part_of[group] = part
        filled[part] += len(members[group])
    parts: dict[str, list[Example]] = {part: [] for part in wanted}
    for row, group in zip(rows, _groups(rows), strict=True):
        parts[part_of[group]].append(row)
    return parts


def _groups(rows: list[Example]) -> list[str]:
    """One name per row. Rows that name no group are joined through the texts (or embeddings) that they share."""
    parent: dict[Hashable, Hashable] = {}

    def root(key: Hashable) -> Hashable:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for row in rows:
        if row.group is None:
            for value in (row.input, row.target):
                if value is not None:
                    parent[root(_key(value))] = root(("row", row.id))
    return [f"group {row.group}" if row.group is not None else f"{root(('row', row.id))}" for row in rows]


def _key(value: object) -> Hashable:
    return ("text", value) if isinstance(value, str) else ("bytes", value.tobytes())  # type: ignore[attr-defined]


def require_disjoint(parts: dict[str, list[Example]]) -> None:
    """DataError where a group stands in two parts: held-out figures would be of rows the core has seen the like of."""
    owner: dict[str, str] = {}
    for part, rows in parts.items():
        for row in rows:
            if row.group is not None and owner.setdefault(row.group, part) != part:
                raise DataError(
                    f"group {row.group!r} stands in {owner[row.group]} and in {part} (row {row.id!r}); "
                    f"a group may stand in one of them only: move its rows together, or name groups more finely"
                )
