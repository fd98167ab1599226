"""JSON that means one thing: no repeated keys, no NaN, no strings that are not Unicode text."""

from __future__ import annotations

import json
from typing import NoReturn

from attrs import frozen


@frozen
class _RepeatedKey:
    """Stands in the parsed value for an object with a repeated key, so that the row that holds it can be named."""

    key: str


def _object(pairs: list[tuple[str, object]]) -> object:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    keys = [key for key, _ in pairs]
    return _RepeatedKey(next(key for key in keys if keys.count(key) > 1))


def parse(text: str, first_line: int = 1) -> object:
    """The value. ValueError where it is not JSON, its message led by ``line:column:``, lines from ``first_line``.

    What is JSON but ambiguous is left in the value for :func:`check` to find, row by row.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise ValueError(f"{line}:{error.colno}: not valid JSON: {error.msg}; correct it there") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{first_line}:1: JSON that cannot be read: {error}") from error


def check(value: object) -> None:
    """ValueError for a parsed value with a repeated key, a number that is not finite, or half a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False, default=_refuse).encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise ValueError(f"{half} is half a character; write the whole pair, or remove it") from error
    except ValueError as error:
        raise ValueError("NaN and infinity are not JSON; write null, or leave the key out") from error
    except KeyError as error:
        raise ValueError(f"key {error.args[0]!r} stands twice in one object; keep one") from error
    except RecursionError as error:
        raise ValueError("nested too deeply to be read; flatten it") from error


def _refuse(value: _RepeatedKey) -> NoReturn:
    raise KeyError(value.key)
