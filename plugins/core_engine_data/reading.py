"""From rows to examples: ids are unique, and malformed rows stop the reading or are counted and reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePath

import structlog

from core_engine import Example
from core_engine.errors import DataError
from core_engine_data.rows import OnError, Row, Rows

log = structlog.get_logger("core_engine.data")

#: A row's id and its examples, whose ids may differ from the row's.
Convert = Callable[[Row], tuple[str, list[Example]]]

_SHOWN = 5


def examples(rows: Rows, convert: Convert, path: PurePath, on_error: OnError) -> Iterator[Example]:
    """The examples of each row, in the file's order.

    Raises DataError for a malformed row, or with ``skip`` leaves it out whole and ends with one warning; also where no
    row is left.
    """
    places: dict[str, str] = {}
    skipped = 0
    shown: list[str] = []
    empty = True
    try:
        for row in rows:
            try:
                found = _examples_of(row, convert, places)
            except DataError as error:
                if on_error == "fail":
                    raise
                skipped += 1
                if skipped <= _SHOWN:
                    shown.append(str(error))
                continue
            empty = False
            yield from found
    finally:
        # Also when whoever reads stops early: what was left out until then is not silent.
        if skipped:
            log.warning("malformed rows skipped", path=str(path), skipped=skipped, first=shown)
    if empty and skipped:
        raise DataError(f"{path}: not one usable row: all {skipped} are malformed; the first: {shown[0]}")
    if empty:
        raise DataError(f"{path}: the file holds no rows; name one that does")


def _examples_of(row: Row | DataError, convert: Convert, places: dict[str, str]) -> list[Example]:
    if isinstance(row, DataError):
        raise row
    identity, found = convert(row)
    ids = {identity, *(example.id for example in found)}
    for taken in sorted(ids & places.keys()):
        raise row.malformed(f"id {taken!r} stands at {places[taken]} already; make it unique, or leave ids out")
    places.update(dict.fromkeys(ids, row.place))
    return found
