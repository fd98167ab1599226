"""Rows of ``.txt`` files: one text a line, or blocks of ``Q:`` and ``A:``."""

from __future__ import annotations

from pathlib import PurePath
from typing import IO

from core_engine.errors import DataError
from core_engine_data.files import text_lines
from core_engine_data.rows import Row, Rows


def line_rows(stream: IO[bytes], path: PurePath) -> Rows:
    """One row with the key ``text`` for each line that is not blank."""
    for number, line in text_lines(stream, path):
        if line.strip():
            yield Row(path, f":{number}", number, {"text": line.rstrip("\r\n")})


def block_rows(stream: IO[bytes], path: PurePath) -> Rows:
    """One row with the keys ``question`` and ``answer`` for each block that starts with a line ``Q: ...``.

    A line that starts with neither ``Q:`` nor ``A:`` continues the one before it, up to a blank line; blank lines
    between the parts are left out. Space around a line is dropped.
    """
    block: list[tuple[int, str]] = []
    for number, line in text_lines(stream, path):
        text = line.strip()
        if text.startswith("Q:") and block:
            yield _pair(path, block)
            block = []
        if block or text:
            block.append((number, text))
    if block:
        yield _pair(path, block)


def _pair(path: PurePath, block: list[tuple[int, str]]) -> Row | DataError:
    start, first = block[0]
    if not first.startswith("Q:"):
        return DataError(f"{path}:{start}: text before the first question; start each pair with a line 'Q: ...'")
    parts = {"question": [first[2:]]}
    current = parts["question"]
    broken = False
    for number, text in block[1:]:
        if text.startswith("A:"):
            if "answer" in parts:
                return DataError(f"{path}:{number}: a second answer to one question; start a new 'Q:', or join them")
            current = parts["answer"] = [text[2:]]
            broken = False
        elif not text:
            broken = True
        elif broken:
            return DataError(
                f"{path}:{number}: text after a blank line belongs to no question or answer; remove the blank line, "
                "or start the line with 'Q:' or 'A:'"
            )
        else:
            current.append(text)
    if "answer" not in parts:
        return DataError(f"{path}:{start}: a question without an answer; add a line 'A: ...', or remove it")
    fields = {key: "\n".join(lines).strip() for key, lines in parts.items()}
    return Row(path, f":{start}", start, fields)
