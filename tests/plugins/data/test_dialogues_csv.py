"""``dialogues`` from .csv."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from core_engine_data import Columns, Dialogues
from core_engine_data.csv_files import ALIASES
from hypothesis import given
from hypothesis import strategies as st

from core_engine import DataSourceContext, Example
from core_engine.errors import DataError

Read = Callable[..., list[Example]]


def test_a_row_becomes_an_example(dialogues: Read) -> None:
    content = 'id,question,answer,group,level\na,"Q, 1","said ""A""\nand on",g,3\n\n,Q2,,,\n'
    assert dialogues("faq.csv", content) == [
        Example("a", "Q, 1", 'said "A"\nand on', "g", {"level": "3"}),
        Example("faq.csv:4", "Q2", "", None, {"level": ""}),
    ]


@pytest.mark.parametrize(
    ("field", "alias"), [(field, alias) for field, aliases in ALIASES.items() for alias in aliases]
)
def test_aliases(dialogues: Read, field: str, alias: str) -> None:
    names = {"question": "question", "answer": "answer", "group": "group", "id": "id"} | {field: f" {alias.upper()} "}
    [example] = dialogues("faq.csv", ",".join(names.values()) + "\nQ,A,G,I\n")
    assert example == Example("I", "Q", "A", "G")


def test_all_words_of_the_issue_are_aliases() -> None:
    assert set(ALIASES["question"]) == {"question", "query", "prompt", "input", "user", "q"}
    assert set(ALIASES["answer"]) == {"answer", "response", "reply", "output", "completion", "assistant", "a"}
    assert set(ALIASES["group"]) == {"group", "topic", "category"}


def test_columns_settle_what_is_ambiguous(dialogues: Read) -> None:
    content = "prompt,question,answer,messages\nP,Q,A,3\n"
    [example] = dialogues("faq.csv", content, columns=Columns(question="question"))
    assert example == Example("faq.csv:2", "Q", "A", None, {"prompt": "P", "messages": "3"})
    with pytest.raises(DataError, match="no column for the answer"):  # a column named for one field is not another's
        dialogues("faq.csv", "prompt,response\nP,R\n", columns=Columns(question="response"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "query,prompt,answer\n",
            ":1: columns 'query' and 'prompt' could each be the question; say which with",
        ),
        ("q,Answer,output\n", ":1: columns 'Answer' and 'output' could each be the answer"),
        ("q,a,topic,category\n", ":1: columns 'topic' and 'category' could each be the group"),
        ("q,note\n", ":1: no column for the answer among 'q', 'note'; name one of them with columns: {answer: NAME}"),
        ("question;answer\n", ":1: no column for the question among 'question;answer'; separate columns with commas"),
        ("q,a,x,x\n", ":1: column 'x' stands twice in the header"),
        ("\n\n", ":1: no header"),
        ("q,a\n", ": the file holds no rows"),
        ("q,a\n\nx,y\nx,y,z\n", ":4: row 4: 3 cells under 2 columns; quote a cell that holds a comma"),
        ('q,a\n"x\ny",z\nw\n', ":4: row 3: 1 cells under 2 columns"),
        ('q,a\nx,y\nx,"y\nz,w\n', ":3: row 3: not valid CSV: unexpected end of data; look for a double quote"),
        ('q,a\nx,"y"z\n', ":2: row 2: not valid CSV: ',' expected after '\"'"),
        ("q,a\nx\ry,z\n", ":2: row 2: not valid CSV: new-line character seen in unquoted field"),
        ("q,a,id\nx,y,1\nx,z,1\n", ":3: row 3: id '1' stands at"),
    ],
)
def test_what_is_wrong_is_named_with_line_and_row(dialogues: Read, content: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"faq.csv{message}")):
        dialogues("faq.csv", content)


def test_a_named_column_must_be_in_the_header(dialogues: Read) -> None:
    with pytest.raises(DataError, match=r":1: no column 'topik', named by columns\.group, among 'q', 'a', 'topic'"):
        dialogues("faq.csv", "q,a,topic\nx,y,z\n", columns=Columns(group="topik"))


def test_a_quote_that_is_not_closed_is_never_skipped(dialogues: Read) -> None:
    with pytest.raises(DataError, match=":3: row 3: not valid CSV"):
        dialogues("faq.csv", 'q,a\nx,y\n"x,y\nx,y\n', on_error="skip")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.text("\u2028\u2029\x85\x0b\x1c\r\n\"',;é")


@given(
    rows=st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), min_size=1, max_size=5),
    end=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
)
def test_any_text_survives(rows: list[tuple[str, str, str, str]], end: str, mark: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.csv")
        with path.open("w", encoding="utf-8-sig" if mark else "utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator=end, quoting=csv.QUOTE_ALL)
            writer.writerows([("prompt", "reply", "topic", "note"), *rows])
        read = list(Dialogues(path).build(DataSourceContext(seed=0)).read())
    assert [(e.input, e.target, e.group or "", e.metadata["note"]) for e in read] == rows
