"""``dialogues`` from .jsonl and .json: rows of question and answer."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from core_engine_data import Columns, Dialogues
from hypothesis import given
from hypothesis import strategies as st

from core_engine import DataSourceContext, Example
from core_engine.errors import DataError

Read = Callable[..., list[Example]]

ROW = '{"question": "Q?", "answer": "A."}'


def test_a_row_becomes_an_example(jsonl: Read) -> None:
    rows = [
        {"id": "a", "group": "g", "question": "Q1", "answer": "A1", "level": 3, "tags": ["x"]},
        {"question": "Q2", "answer": ""},
        {"id": 7, "group": 8, "question": "Q3", "answer": "A3"},
        {"id": None, "group": None, "question": "Q4", "answer": "A4"},
    ]
    assert jsonl(rows) == [
        Example("a", "Q1", "A1", "g", {"level": 3, "tags": ["x"]}),
        Example("faq.jsonl:2", "Q2", ""),
        Example("7", "Q3", "A3", "8"),
        Example("faq.jsonl:4", "Q4", "A4"),
    ]


@pytest.mark.parametrize("content", ["[%s, %s]", '{"data": [%s, %s]}'])
def test_json_is_a_list_or_an_object_with_data(dialogues: Read, content: str) -> None:
    assert dialogues("faq.json", content % (ROW, ROW)) == [
        Example("faq.json:0", "Q?", "A."),
        Example("faq.json:1", "Q?", "A."),
    ]


def test_blank_lines_line_ends_and_a_byte_order_mark_change_nothing(dialogues: Read) -> None:
    content = b"\xef\xbb\xbf" + ROW.encode() + b"\r\n\r\n  \n" + ROW.encode()
    assert [e.id for e in dialogues("faq.jsonl", content)] == ["faq.jsonl:1", "faq.jsonl:4"]


def test_columns_name_other_keys(jsonl: Read) -> None:
    row = {"utterance": "Q", "reply": "A", "topic": "t", "key": "k", "question": "kept"}
    columns = Columns(question="utterance", answer="reply", group="topic", id="key")
    assert jsonl([row], columns=columns) == [Example("k", "Q", "A", "t", {"question": "kept"})]


MALFORMED = {
    "missing": ('{"question": "Q"}', ": no 'answer' among 'question'; a row needs 'question' and 'answer'"),
    "nothing": ("{}", ": no 'question' among nothing"),
    "null": ('{"question": null, "answer": "A"}', ": 'question' is null; write a string"),
    "number": ('{"question": "Q", "answer": 1.5}', ": 'answer' is a number; write a string"),
    "boolean": ('{"question": "Q", "answer": true}', ": 'answer' is a boolean"),
    "list": ('{"question": ["Q"], "answer": "A"}', ": 'question' is a list"),
    "id": ('{"question": "Q", "answer": "A", "id": 1.5}', ": 'id' is a number; write a string or an integer"),
    "empty id": ('{"question": "Q", "answer": "A", "id": ""}', ": 'id' is an empty string"),
    "group": ('{"question": "Q", "answer": "A", "group": false}', ": 'group' is a boolean"),
    "no object": ('["Q", "A"]', ": a row is an object, not a list"),
    "repeated key": ('{"question": "Q", "answer": "A", "answer": "B"}', ": key 'answer' stands twice in one object"),
    "nested": ('{"question": "Q", "answer": "A", "m": {"x": 1, "x": 2}}', ": key 'x' stands twice in one object"),
    "NaN": ('{"question": "Q", "answer": "A", "score": NaN}', ": NaN and infinity are not JSON; write null"),
    "infinite": ('{"question": "Q", "answer": "A", "score": 1e999}', ": NaN and infinity are not JSON"),
    "surrogate": ('{"question": "Q", "answer": "x\\ud800"}', r": \ud800 is half a character"),
    "both": ('{"question": "Q", "messages": []}', ": both 'messages' and 'question'; keep one"),
}


@pytest.mark.parametrize(("row", "message"), MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_a_malformed_row_is_named(dialogues: Read, suffix: str, row: str, message: str) -> None:
    content, place = (f"{ROW}\n{row}\n", ":2") if suffix == "jsonl" else (f"[{ROW}, {row}]", ": [1]")
    with pytest.raises(DataError, match=re.escape(f"faq.{suffix}{place}{message}")):
        dialogues(f"faq.{suffix}", content)


def test_a_row_under_data_is_named_there(dialogues: Read) -> None:
    with pytest.raises(DataError, match=re.escape("faq.json: data[1]: a row is an object, not a number")):
        dialogues("faq.json", f'{{"data": [{ROW}, 3]}}')


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("faq.jsonl", ROW + '\n{"question": "Q", "answer"', r"faq\.jsonl:2:27: not valid JSON: Expecting ':'"),
        ("faq.jsonl", ROW + "\n" + "[" * 100_000, r"faq\.jsonl:2:1: JSON that cannot be read: .*recursion"),
        ("faq.jsonl", '{"n": ' + "9" * 5000 + "}", r"faq\.jsonl:1:1: JSON that cannot be read: Exceeds the limit"),
        ("faq.json", f"[\n{ROW},\n{ROW}", r"faq\.json:3:35: not valid JSON: Expecting ',' delimiter"),
        ("faq.json", ROW, r"the file is an object with the keys 'question', 'answer'; write a list of rows, or"),
        ("faq.json", '{"data": [], "version": 1}', r"an object with the keys 'data', 'version'"),
        ("faq.json", '{"data": {}}', r"faq\.json: data is an object without keys; write a list"),
        ("faq.json", "3", r"faq\.json: the file is a number"),
        ("faq.json", '{"data": [], "data": []}', r"faq\.json: key 'data' stands twice in one object"),
        ("faq.json", "[]", r"faq\.json: the file holds no rows"),
        ("faq.jsonl", "\n\n", r"faq\.jsonl: the file holds no rows"),
    ],
)
def test_a_broken_file_is_named_with_line_and_column(dialogues: Read, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        dialogues(name, content)


def test_an_id_stands_once(jsonl: Read) -> None:
    row = {"question": "Q", "answer": "A"}
    with pytest.raises(DataError, match=r"faq\.jsonl:3: id 'a' stands at .*faq\.jsonl:1 already; make it unique"):
        jsonl([row | {"id": "a"}, row, row | {"id": "a"}])
    with pytest.raises(DataError, match=r"faq\.jsonl:2: id 'faq\.jsonl:2' stands at .*:1 already"):
        jsonl([row | {"id": "faq.jsonl:2"}, row])


def test_a_named_column_must_be_there(jsonl: Read) -> None:
    row = {"question": "Q", "answer": "A"}
    with pytest.raises(DataError, match=r":1: no 'topic', named by columns\.group; add it, or write null"):
        jsonl([row], columns=Columns(group="topic"))
    assert jsonl([row | {"topic": None}], columns=Columns(group="topic")) == [Example("faq.jsonl:1", "Q", "A")]


def test_jsonl_is_read_a_line_at_a_time(write: Callable[[str, str], Path]) -> None:
    rows = Dialogues(write("faq.jsonl", ROW + "\nbroken")).build(DataSourceContext(seed=0)).read()
    assert next(rows).input == "Q?"  # the second line was not looked at
    with pytest.raises(DataError, match=":2:1: not valid JSON"):
        next(rows)


TEXT = st.text() | st.text("\u2028\u2029\x85\x0b\x0c\x1c\r\n\"\\{}[],:é\U0001f600 'Q")


@given(
    rows=st.lists(st.tuples(TEXT, TEXT, st.none() | TEXT.filter(bool), TEXT), min_size=1, max_size=5),
    ascii_only=st.booleans(),
    suffix=st.sampled_from(["json", "jsonl"]),
)
def test_any_text_survives(rows: list[tuple[str, str, str | None, str]], ascii_only: bool, suffix: str) -> None:
    dicts = [{"question": q, "answer": a, "group": g, "note": n} for q, a, g, n in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"x.{suffix}")
        if suffix == "json":
            text = json.dumps(dicts, ensure_ascii=ascii_only, indent=1)
        else:
            text = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in dicts)
        path.write_bytes(text.encode())
        read = list(Dialogues(path).build(DataSourceContext(seed=0)).read())
    assert [(e.input, e.target, e.group, e.metadata["note"]) for e in read] == rows
