"""The data source ``texts``: single texts, to train an autoencoder on or to retrieve among."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attrs import field, frozen, validators

from core_engine import DataSourceContext, Example
from core_engine.errors import DataError
from core_engine_data.files import opened, problem_with
from core_engine_data.json_files import jsonl_rows
from core_engine_data.reading import examples
from core_engine_data.rows import OnError, Row
from core_engine_data.text_files import line_rows


@frozen
class Texts:
    """Single texts from a .txt file (one a line) or a .jsonl file (under the key ``text``).

    In ``.jsonl``, ``id`` and ``group`` are optional and every other key is kept as metadata. Blank lines are left out.
    ``on_error: skip`` leaves out rows that are malformed and reports how many and where. All files are UTF-8.
    """

    path: Path
    on_error: OnError = field(default="fail", validator=validators.in_(("fail", "skip")))

    def check(self) -> Iterator[tuple[str, str]]:
        problem = problem_with(self.path, (".txt", ".jsonl"))
        if problem:
            yield "path", problem

    def build(self, context: DataSourceContext) -> TextFile:
        return TextFile(self)


@frozen
class TextFile:
    config: Texts

    def read(self) -> Iterator[Example]:
        """Examples of one text each, without a target. DataError for malformed data."""
        for option, problem in self.config.check():
            raise DataError(f"{option}: {problem}")
        path = self.config.path
        with opened(path) as stream:
            reader = jsonl_rows if path.suffix.lower() == ".jsonl" else line_rows
            yield from examples(reader(stream, path), _text, path, self.config.on_error)


def _text(row: Row) -> tuple[str, list[Example]]:
    text = row.text("text", "a row needs 'text'")
    identity = row.label("id") or row.default_id
    metadata = {key: value for key, value in row.fields.items() if key not in ("text", "id", "group")}
    return identity, [Example(identity, text, None, row.label("group"), metadata)]
