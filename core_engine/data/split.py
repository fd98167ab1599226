"""Splits rows by whole groups, the same way for the same seed, whatever the order of the rows."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable

from core_engine.contracts.data import Example
from core_engine.data.identity import identity
from core_engine.errors import DataError


def split_by_group(rows: list[Example], shares: dict[str, float], seed: int) -> dict[str, list[Example]]:
    """``shares``: part -> share of rows to hold out. The rest is ``train``. No group stands in two parts.

    Rows without a group form one with every other such row that shares a text with them. Groups are taken in the order
    of a hash of seed and name, each to the part that lacks most of its share. DataError where a part would stay empty.
    """
    members: dict[str, list[Example]] = defaultdict(list)
    groups = _groups(rows)
    for row, group in zip(rows, groups, strict=True):
        members[group].append(row)
    if len(members) < len(shares) + 1:
        raise DataError(
            f"{len(rows)} rows in {len(members)} groups cannot be split into train, {', '.join(shares)}: "
            f"each part needs a group of its own; give more data, or validation and test files"
        )
    order = sorted(members, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())
    wanted = {part: share * len(rows) for part, share in shares.items()}
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
    for row, group in zip(rows, groups, strict=True):
        parts[part_of[group]].append(row)
    return parts


def _groups(rows: list[Example]) -> list[str]:
    """One name per row. Rows that name no group are joined through the texts (or embeddings) that they share.

    Such a group is named by a digest of its smallest text, so that the order of the rows does not matter.
    """
    parent: dict[Hashable, Hashable] = {}

    def root(key: Hashable) -> Hashable:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for row in rows:
        if row.group is None and row.target is not None:
            parent[root(identity(row.input))] = root(identity(row.target))
    names: dict[Hashable, bytes] = {}
    for row in rows:
        if row.group is None:
            key = root(identity(row.input))
            digests = [_digest(identity(value)) for value in (row.input, row.target) if value is not None]
            names[key] = min([*digests, *([names[key]] if key in names else [])])
    return [
        f"group {row.group}" if row.group is not None else f"texts {names[root(identity(row.input))].hex()}"
        for row in rows
    ]


def _digest(key: Hashable) -> bytes:
    return hashlib.sha256(key if isinstance(key, bytes) else str(key).encode()).digest()


def require_held_out(parts: dict[str, list[Example]]) -> None:
    """DataError where a row without a group stands in training too, input and target alike: it is not held out."""
    known = {(identity(row.input), identity(row.target)): row.id for row in parts["train"] if row.group is None}
    for part in ("validation", "test"):
        for row in parts[part]:
            twin = known.get((identity(row.input), identity(row.target))) if row.group is None else None
            if twin is not None:
                raise DataError(
                    f"row {row.id!r} of {part} stands in train as well (row {twin!r}), so it is not held out; "
                    f"remove it from one of the files, or leave {part} out to have whole groups split off train"
                )


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
