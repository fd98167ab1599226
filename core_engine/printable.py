"""Texts of other people's, as they can be shown."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """On one line, and with a replacement character for each control character and half of a character, which a page
    or a file cannot hold and a terminal might obey.
    """
    return "".join(
        " " if ch in "\t\r\n" else "\N{REPLACEMENT CHARACTER}" if unicodedata.category(ch) in ("Cc", "Cs") else ch
        for ch in text
    )
