"""Small JSON files of a Sentence Transformers folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core_engine.errors import TeacherError

AGAIN = "copy or download the model again"


class AbsentFileError(TeacherError):
    """A file that the folder should hold; a hub may still have it."""


def read_object(file: Path) -> dict[str, Any]:
    value = _read(file)
    if not isinstance(value, dict):
        raise TeacherError(f"{file}: is not a JSON object; {AGAIN}")
    return value


def read_list(file: Path) -> list[Any]:
    value = _read(file)
    if not isinstance(value, list):
        raise TeacherError(f"{file}: is not a JSON list; {AGAIN}")
    return value


def whole_number(file: Path, values: dict[str, Any], key: str, least: int) -> int | None:
    """The number under ``key``; None where it is absent or null."""
    value = values.get(key)
    if value is None or (type(value) is int and value >= least):
        return value
    raise TeacherError(f"{file}: {key!r} is {value!r}, not a whole number of at least {least}; {AGAIN}")


def flag(file: Path, values: dict[str, Any], key: str, default: bool) -> bool:
    value = values.get(key, default)
    if isinstance(value, bool):
        return value
    raise TeacherError(f"{file}: {key!r} is {value!r}, not true or false; {AGAIN}")


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AbsentFileError(f"{file}: no such file; {AGAIN}") from error
    except (OSError, ValueError) as error:
        raise TeacherError(f"{file}: cannot be read ({error}); {AGAIN}") from error
