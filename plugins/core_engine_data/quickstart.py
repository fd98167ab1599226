"""The data source ``quickstart``: the question-answer pairs that are shipped with the package."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import PurePath

from attrs import frozen

from core_engine import DataSourceContext, Example
from core_engine_data.columns import Columns
from core_engine_data.json_files import jsonl_rows
from core_engine_data.pairs import PairReader
from core_engine_data.reading import examples

_FILE = PurePath("quickstart.jsonl")


@frozen
class Quickstart:
    """The shipped pairs: questions and answers on AI, computer science, programming, data science and NLP."""

    def build(self, context: DataSourceContext) -> ShippedPairs:
        return ShippedPairs()


class ShippedPairs:
    def read(self) -> Iterator[Example]:
        """Examples of two texts, each with a topic as its group."""
        with files("core_engine_data").joinpath(_FILE.name).open("rb") as stream:
            yield from examples(jsonl_rows(stream, _FILE), PairReader(Columns()), _FILE, "fail")
