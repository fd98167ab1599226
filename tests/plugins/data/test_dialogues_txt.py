"""``dialogues`` from .txt: blocks of Q: and A:."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from core_engine import Example
from core_engine.errors import DataError

Read = Callable[..., list[Example]]


def test_blocks(dialogues: Read) -> None:
    content = (
        "\nQ: one\nA: first\n"  # no blank line behind
        "Q: two,\n  over lines\n\nA:   second,\nover\nlines \n\n\n"
        "  Q:three\r\nA:\u2028third\x85end\r\n"
        "Q:\nfour\nA:\n"
    )
    assert dialogues("faq.txt", content) == [
        Example("faq.txt:2", "one", "first"),
        Example("faq.txt:4", "two,\nover lines", "second,\nover\nlines"),
        Example("faq.txt:12", "three", "third\x85end"),
        Example("faq.txt:14", "four", ""),
    ]


PROBLEMS = [
    ("notes\nQ: x\nA: y\n", ":1: text before the first question; start each pair with a line 'Q: ...'"),
    ("\n\nA: y\n", ":3: text before the first question"),
    ("Q: x\nA: y\nQ: z\nQ: v\nA: w\n", ":3: a question without an answer; add a line 'A: ...'"),
    ("Q: x\nA: y\nQ: z\n", ":3: a question without an answer"),
    ("Q: x\nA: y\nA: z\n", ":3: a second answer to one question"),
    ("Q: x\nA: y\n\nmore\n", ":4: text after a blank line belongs to no question or answer; remove the blank line"),
    ("Q: x\n\nmore\nA: y\n", ":3: text after a blank line belongs to no question or answer"),
]


@pytest.mark.parametrize(("content", "message"), PROBLEMS)
def test_what_is_wrong_is_named_with_its_line(dialogues: Read, content: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"faq.txt{message}")):
        dialogues("faq.txt", content)


@pytest.mark.parametrize(("content", "message"), PROBLEMS)
def test_a_malformed_block_is_skipped_whole(dialogues: Read, content: str, message: str) -> None:
    assert dialogues("faq.txt", content + "Q: good\nA: pair\n", on_error="skip")[-1].input == "good"
