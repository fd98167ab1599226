"""Options of ``dialogues``, and malformed rows that are skipped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core_engine_data import Columns, Dialogues
from structlog.testing import capture_logs

from core_engine import DataSourceContext, Example
from core_engine.errors import DataError

Read = Callable[..., list[Example]]
Write = Callable[[str, str | bytes], Path]

GOOD = {"question": "Q", "answer": "A"}
BAD = {"question": "Q"}
TALK = [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}]


def test_skipped_rows_are_counted_and_named(jsonl: Read) -> None:
    with capture_logs() as logs:
        examples = jsonl([BAD, GOOD, *[BAD] * 7, GOOD], on_error="skip")
    assert [e.id for e in examples] == ["faq.jsonl:2", "faq.jsonl:10"]
    [entry] = logs
    assert (entry["log_level"], entry["event"], entry["skipped"]) == ("warning", "malformed rows skipped", 8)
    assert [message.split("faq.jsonl")[1].split(": ")[0] for message in entry["first"]] == [
        ":1",
        ":3",
        ":4",
        ":5",
        ":6",
    ]
    assert entry["path"].endswith("faq.jsonl")


def test_nothing_is_logged_where_nothing_is_skipped(jsonl: Read) -> None:
    with capture_logs() as logs:
        jsonl([GOOD], on_error="skip")
    assert logs == []


def test_an_interrupted_reading_reports_what_it_skipped(write: Write) -> None:
    path = write("faq.jsonl", "\n".join(json.dumps(row) for row in [BAD, GOOD, BAD]))
    rows = Dialogues(path, on_error="skip").build(DataSourceContext(seed=0)).read()
    with capture_logs() as logs:
        next(rows)
        rows.close()  # type: ignore[attr-defined]
    assert [entry["skipped"] for entry in logs] == [1]


def test_every_kind_of_malformed_row_can_be_skipped(dialogues: Read) -> None:
    lines = ["{", "3", '{"id": 1, "id": 2}', json.dumps(GOOD | {"id": "a"}), json.dumps(GOOD | {"id": "a"})]
    assert [e.id for e in dialogues("faq.jsonl", "\n".join(lines), on_error="skip")] == ["a"]


def test_a_conversation_is_skipped_whole(jsonl: Read) -> None:
    rows = [GOOD | {"id": "c#2"}, {"id": "c", "messages": TALK * 2}, GOOD]
    assert [e.id for e in jsonl(rows, on_error="skip")] == ["c#2", "faq.jsonl:3"]


def test_a_file_of_malformed_rows_is_an_error(jsonl: Read) -> None:
    message = r"faq\.jsonl: not one usable row: all 2 are malformed; the first: .*faq\.jsonl:1: no 'answer'"
    with capture_logs(), pytest.raises(DataError, match=message):
        jsonl([BAD, BAD], on_error="skip")


@pytest.mark.parametrize(
    ("name", "options", "option", "message"),
    [
        ("faq.csv", {"context_turns": 2}, "context_turns", "a .csv file holds no conversations; leave it out"),
        ("faq.txt", {"context_turns": 2}, "context_turns", "a .txt file holds no conversations; leave it out"),
        ("faq.txt", {"columns": Columns(group="t")}, "columns", "a .txt file has no columns; leave it out"),
        ("faq.csv", {"columns": Columns(group="t", id="t")}, "columns", "one name is given to two fields"),
    ],
)
def test_options_that_do_nothing_are_refused(
    write: Write, name: str, options: dict[str, Any], option: str, message: str
) -> None:
    config = Dialogues(write(name, "x"), **options)
    [(where, problem)] = config.check()
    assert where == option
    assert message in problem
    with pytest.raises(DataError, match=f"{option}: "):
        list(config.build(DataSourceContext(seed=0)).read())


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="context_turns"):
        Dialogues(Path("faq.jsonl"), context_turns=-1)
    with pytest.raises(ValueError, match="on_error"):
        Dialogues(Path("faq.jsonl"), on_error="ignore")  # type: ignore[arg-type]
