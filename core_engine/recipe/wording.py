"""What problems with values are called."""

from __future__ import annotations

import difflib
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from core_engine.recipe.nodes import Node

_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    Path: "a path",
    type(None): "null",
}


def describe_type(cls: Any) -> str:
    origin = get_origin(cls)
    if cls in _NAMES:
        return _NAMES[cls]
    if origin is Annotated:
        inner = get_args(cls)[0]
        return _NAMES.get(inner, "a mapping with a type")
    if origin is Literal:
        options = [str(option) for option in get_args(cls)]
        return options[0] if len(options) == 1 else f"one of {', '.join(options)}"
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(member) for member in get_args(cls))
    if origin is tuple and Ellipsis not in get_args(cls):
        return f"a list of {len(get_args(cls))} ({', '.join(describe_type(a) for a in get_args(cls))})"
    if origin in (list, tuple):
        return "a list"
    return "a mapping"


def hint(node: Node, cls: type[Any]) -> str:
    value = node.value
    if cls is str and isinstance(value, int | float):
        return "; put it in quotes"
    if cls is bool and isinstance(value, str) and value.lower() in ("yes", "no", "on", "off", "true", "false"):
        return "; write true or false, without quotes"
    if cls in (int, float) and isinstance(value, str) and value.strip("+-").replace("_", "")[:1].isdigit():
        return "; write a plain decimal number, without quotes"
    return ""


def did_you_mean(word: object, options: Sequence[str], otherwise: str = "") -> str:
    """The nearest option; where none is near, all of them after the words ``otherwise``, if any are given."""
    close = difflib.get_close_matches(word, options, n=1) if isinstance(word, str) else []
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; {otherwise}: {', '.join(options) or 'nothing'}" if otherwise else ""


def error_text(error: Exception) -> str:
    """attrs' validators put a message first and the objects it is about after it."""
    text = str(error.args[0]) if error.args else ""
    return text if text and isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: {error}"
