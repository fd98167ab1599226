"""One row of a file, before it is known to be a good one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Literal

from attrs import frozen

from core_engine.errors import DataError

#: What to do with a malformed row: stop, or leave it out and say so.
OnError = Literal["fail", "skip"]


@frozen
class Row:
    """``at`` follows the file's name in messages (``:12``); ``number`` counts lines, rows or list items of the file."""

    file: PurePath
    at: str
    number: int
    fields: Mapping[str, object]

    @property
    def place(self) -> str:
        return f"{self.file}{self.at}"

    @property
    def default_id(self) -> str:
        """Of a row that names none. It leaves the folder out, so it is the same on another machine."""
        return f"{self.file.name}:{self.number}"

    def malformed(self, problem: str) -> DataError:
        return DataError(f"{self.place}: {problem}")

    def text(self, key: str, remedy: str) -> str:
        """The text under ``key``, which may be empty: whether that is wanted is for the engine's filters to say."""
        if key not in self.fields:
            found = ", ".join(repr(k) for k in self.fields) or "nothing"
            raise self.malformed(f"no {key!r} among {found}; {remedy}")
        value = self.fields[key]
        if not isinstance(value, str):
            raise self.malformed(f"{key!r} is {json_type(value)}; write a string, or remove the row")
        return value

    def label(self, key: str) -> str | None:
        """An id or a group: a string that is not empty, or an integer; None where it is null or absent."""
        value = self.fields.get(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and value:
            return value
        found = "an empty string" if value == "" else json_type(value)
        raise self.malformed(f"{key!r} is {found}; write a string or an integer, or leave it out")


#: What a format's reader yields. A DataError stands for a row that is malformed but whose end is known, so that reading
#: can go on behind it; a file in which even that is unclear makes the reader raise.
Rows = Iterator[Row | DataError]


def json_type(value: object) -> str:
    """How JSON calls a value's type, with an article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"
