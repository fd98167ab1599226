"""Rows of ``.jsonl`` files (one object a line) and ``.json`` files (a list of objects)."""

from __future__ import annotations

from pathlib import PurePath
from typing import IO

from core_engine.errors import DataError
from core_engine_data import strict_json
from core_engine_data.files import text_lines
from core_engine_data.rows import Row, Rows, json_type


def jsonl_rows(stream: IO[bytes], path: PurePath) -> Rows:
    """One row for each line that is not blank. Only a line at a time is in memory."""
    for number, line in text_lines(stream, path):
        if not line.strip():
            continue
        try:
            value = strict_json.parse(line.rstrip("\r\n"), number)
        except ValueError as error:
            yield DataError(f"{path}:{error}")
            continue
        yield _row(path, f":{number}", number, value)


def json_rows(stream: IO[bytes], path: PurePath) -> Rows:
    """The rows of a list, or of ``{"data": list}``, numbered from 0. The whole file is in memory.

    Raises DataError where the file is not one JSON value, or is neither of these two.
    """
    try:
        top = strict_json.parse("".join(line for _, line in text_lines(stream, path)))
    except ValueError as error:
        raise DataError(f"{path}:{error}") from error
    prefix = ""
    if isinstance(top, dict) and list(top) == ["data"]:
        top, prefix = top["data"], "data"
    if not isinstance(top, list):
        raise _no_list(path, prefix or "the file", top)
    for index, value in enumerate(top):
        yield _row(path, f": {prefix}[{index}]", index, value)


def _no_list(path: PurePath, where: str, value: object) -> DataError:
    try:
        strict_json.check(value)
    except ValueError as error:
        return DataError(f"{path}: {error}")
    found = json_type(value)
    if isinstance(value, dict):
        found += f" with the keys {', '.join(map(repr, value))}" if value else " without keys"
    return DataError(f'{path}: {where} is {found}; write a list of rows, or {{"data": [rows]}}')


def _row(path: PurePath, at: str, number: int, value: object) -> Row | DataError:
    try:
        strict_json.check(value)
    except ValueError as error:
        return DataError(f"{path}{at}: {error}")
    if not isinstance(value, dict):
        return DataError(f"{path}{at}: a row is an object, not {json_type(value)}; write {{...}}")
    return Row(path, at, number, value)
