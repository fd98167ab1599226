"""Rows of ``.csv`` files with a header, comma-separated, quoted with double quotes (RFC 4180)."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import IO

from core_engine.errors import DataError
from core_engine_data.columns import Columns
from core_engine_data.files import text_lines
from core_engine_data.rows import Row, Rows

#: Header names that are understood for each field, in any case.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "query", "prompt", "input", "user", "q"),
    "answer": ("answer", "response", "reply", "output", "completion", "assistant", "a"),
    "group": ("group", "topic", "category"),
    "id": ("id",),
}

_Records = Iterator[tuple[int, int, list[str]]]


def csv_rows(stream: IO[bytes], path: PurePath, columns: Columns) -> tuple[Columns, Rows]:
    """Which column holds which field, and the rows, keyed by header name; the header is row 1.

    Blank lines are left out; an empty id or group cell means that there is none. Raises DataError for a header that
    lacks a field or names it twice, and where quoting leaves it unclear where rows end.
    """
    lines = _records(stream, path)
    _, line, cells = next(lines, (1, 1, []))
    place = f"{path}:{line}"
    header = [cell.strip() for cell in cells]
    if not header:
        raise DataError(f"{place}: no header; write the names of the columns into the first line")
    repeated = [column for column, count in Counter(header).items() if count > 1]
    if repeated:
        raise DataError(f"{place}: column {repeated[0]!r} stands twice in the header; rename one")
    found = Columns(**{field: _column(place, header, field, columns) for field in ALIASES})
    return found, _rows(lines, path, header, {found.group, found.id})


def _column(place: str, header: list[str], field: str, columns: Columns) -> str | None:
    wanted: str | None = getattr(columns, field)
    if wanted is not None:
        if wanted not in header:
            listed = ", ".join(map(repr, header))
            raise DataError(f"{place}: no column {wanted!r}, named by columns.{field}, among {listed}; correct it")
        return wanted
    taken = columns.given().values()
    matches = [column for column in header if column.lower() in ALIASES[field] and column not in taken]
    if len(matches) > 1:
        listed = " and ".join(map(repr, matches))
        raise DataError(
            f"{place}: columns {listed} could each be the {field}; say which with columns: {{{field}: {matches[0]}}}"
        )
    if not matches and field in ("question", "answer"):
        listed = ", ".join(map(repr, header))
        hint = "; separate columns with commas" if len(header) == 1 else ""
        raise DataError(
            f"{place}: no column for the {field} among {listed}{hint}; name one of them with columns: "
            f"{{{field}: NAME}}, or call it one of {', '.join(ALIASES[field])}"
        )
    return matches[0] if matches else None


def _records(stream: IO[bytes], path: PurePath) -> _Records:
    """Row number, number of the line it starts on, cells; rows that are blank lines are counted but left out."""
    reader = csv.reader((line for _, line in text_lines(stream, path)), strict=True)
    row = 0
    while True:
        row, start = row + 1, reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # A misplaced quote may swallow rows, so this is never a row to skip.
            raise DataError(
                f"{path}:{start}: row {row}: not valid CSV: {error}; look for a double quote that is not closed, "
                "or not doubled inside a quoted cell"
            ) from error
        if cells:
            yield row, start, cells


def _rows(records: _Records, path: PurePath, header: list[str], labels: set[str | None]) -> Rows:
    for number, line, cells in records:
        at = f":{line}: row {number}"
        if len(cells) != len(header):
            yield DataError(
                f"{path}{at}: {len(cells)} cells under {len(header)} columns; quote a cell that holds a comma"
            )
            continue
        fields = {key: cell or None if key in labels else cell for key, cell in zip(header, cells, strict=True)}
        yield Row(path, at, number, fields)
