"""The data source ``dialogues``: pairs of question and answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attrs import field, frozen, validators

from core_engine import DataSourceContext, Example
from core_engine.errors import DataError
from core_engine_data.columns import Columns
from core_engine_data.conversations import TURN_KEYS
from core_engine_data.csv_files import csv_rows
from core_engine_data.files import opened, problem_with
from core_engine_data.json_files import json_rows, jsonl_rows
from core_engine_data.pairs import PairReader
from core_engine_data.reading import examples
from core_engine_data.rows import OnError
from core_engine_data.text_files import block_rows

_SUFFIXES = (".jsonl", ".json", ".csv", ".txt")


@frozen
class Dialogues:
    """Questions and answers, or conversations, from a .jsonl, .json, .csv or .txt file.

    - ``.jsonl``, ``.json``: one object a line; a list of them, or ``{"data": list}``. A row holds ``question`` and
      ``answer``, or under ``conversations`` or ``messages`` a list of turns with ``role`` and ``content`` (or ``from``
      and ``value``). Each user turn that an assistant turn follows directly makes an example.
    - ``.csv``: a header and commas. Usual names for the columns are understood, such as ``prompt`` and ``response``.
    - ``.txt``: blocks of a line ``Q: ...`` and a line ``A: ...``, each of which may run on over further lines.

    ``id`` and ``group`` are optional; every other key is kept as metadata. The examples of a conversation without a
    group have its id as their group, so that it never stands in two splits. All files are UTF-8.

    ``context_turns``: how many earlier turns stand before a user's turn, as lines ``role: content``.
    ``columns``: the names to read, where they are not the usual ones. ``on_error: skip`` leaves out rows that are
    malformed and reports how many and where; a file that cannot be divided into rows is an error all the same.
    """

    path: Path
    context_turns: int = field(default=0, validator=validators.ge(0))
    columns: Columns = field(factory=Columns)
    on_error: OnError = field(default="fail", validator=validators.in_(("fail", "skip")))

    def check(self) -> Iterator[tuple[str, str]]:
        problem = problem_with(self.path, _SUFFIXES)
        if problem:
            yield "path", problem
        suffix = self.path.suffix.lower()
        if self.context_turns and suffix in (".csv", ".txt"):
            yield "context_turns", f"a {suffix} file holds no conversations; leave it out"
        named = self.columns.given()
        if named and suffix == ".txt":
            yield "columns", "a .txt file has no columns; leave it out"
        if len(set(named.values())) < len(named):
            yield "columns", f"one name is given to two fields: {named}; name another"

    def build(self, context: DataSourceContext) -> DialogueFile:
        return DialogueFile(self)


@frozen
class DialogueFile:
    config: Dialogues

    def read(self) -> Iterator[Example]:
        """Examples of two texts. DataError for options that do not fit the file, and for malformed data."""
        for option, problem in self.config.check():
            raise DataError(f"{option}: {problem}")
        path, columns = self.config.path, self.config.columns
        turn_keys = TURN_KEYS if path.suffix.lower() in (".jsonl", ".json") else ()
        with opened(path) as stream:
            match path.suffix.lower():
                case ".jsonl":
                    rows = jsonl_rows(stream, path)
                case ".json":
                    rows = json_rows(stream, path)
                case ".csv":
                    columns, rows = csv_rows(stream, path, columns)
                case _:
                    rows = block_rows(stream, path)
            reader = PairReader(columns, self.config.context_turns, turn_keys)
            yield from examples(rows, reader, path, self.config.on_error)
