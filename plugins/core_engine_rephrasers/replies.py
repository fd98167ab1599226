"""What a language model is asked for, and how its answer is read."""

from __future__ import annotations

import re
from typing import Any

from attrs import Attribute

PROMPT = (
    "Rephrase the following question in {count} different ways. Keep its meaning, its language and every detail. "
    "Write one rephrased question on each line and nothing else.\n\n{text}"
)
#: "1.", "2)", "-", "*" and the like at the beginning of a line.
_MARKER = re.compile(r"(?:\(?\d{1,3}[.):]|[-*•])\s+")
_QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"))  # noqa: RUF001 -- as models write them


def is_prompt(instance: object, attribute: Attribute[str], value: str) -> None:
    missing = [name for name in ("{count}", "{text}") if name not in value]
    if missing:
        raise ValueError(f"'{attribute.name}' must hold {' and '.join(missing)}, in whose place it is filled in")


def filled(prompt: str | None, text: str, count: int) -> str:
    """The prompt for one text; None for the usual one. Other braces stay as they are."""
    return re.sub(r"\{(count|text)\}", lambda found: str(count) if found[1] == "count" else text, prompt or PROMPT)


def wordings(reply: str, text: str, count: int) -> list[str]:
    """One wording from each line of a reply, without numbers, bullets and quotes around it; ``text`` itself and
    repetitions are left out.
    """
    lines = [_stripped(line) for line in reply.splitlines()]
    # A line that announces the others: "Here are three versions:".
    kept: dict[str, Any] = dict.fromkeys(line for line in lines if line and not line.endswith(":"))
    kept.pop(text.strip(), None)
    return list(kept)[:count]


def _stripped(line: str) -> str:
    line = _MARKER.sub("", line.strip(), count=1) if _MARKER.match(line.strip()) else line.strip()
    for opening, closing in _QUOTES:
        if len(line) > 1 and line.startswith(opening) and line.endswith(closing):
            return line[1:-1].strip()
    return line
