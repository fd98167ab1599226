"""The source ``texts``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from core_engine_data import Texts
from structlog.testing import capture_logs

from core_engine import DataSourceContext, Example
from core_engine.errors import DataError

Write = Callable[[str, str | bytes], Path]


def read(config: Texts) -> list[Example]:
    return list(config.build(DataSourceContext(seed=0)).read())


def test_one_text_a_line(write: Write) -> None:
    path = write("corpus.txt", "\ufeffone\r\n\n  \n two\u2028still two \nthree")
    assert read(Texts(path)) == [
        Example("corpus.txt:1", "one"),
        Example("corpus.txt:4", " two\u2028still two "),
        Example("corpus.txt:5", "three"),
    ]


def test_jsonl(write: Write) -> None:
    path = write("c.jsonl", '{"text": "one", "title": "T"}\n\n{"id": 5, "group": "g", "text": ""}\n')
    assert read(Texts(path)) == [
        Example("c.jsonl:1", "one", metadata={"title": "T"}),
        Example("5", "", group="g"),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"question": "Q"}', "no 'text' among 'question'; a row needs 'text'"),
        ('{"text": null}', "'text' is null; write a string"),
        ('{"text": "x", "id": "a"}', "id 'a' stands at"),
        ('{"text": "x", "group": []}', "'group' is a list; write a string or an integer"),
    ],
)
def test_a_malformed_row_is_named_or_skipped(write: Write, row: str, message: str) -> None:
    path = write("c.jsonl", '{"text": "one", "id": "a"}\n' + row)
    with pytest.raises(DataError, match=re.escape(f"c.jsonl:2: {message}")):
        read(Texts(path))
    with capture_logs() as logs:
        assert [e.input for e in read(Texts(path, on_error="skip"))] == ["one"]
    assert [entry["skipped"] for entry in logs] == [1]


def test_blank_lines_alone_are_no_texts(write: Write) -> None:
    with pytest.raises(DataError, match=r"c\.txt: the file holds no rows"):
        read(Texts(write("c.txt", "\n \n")))
