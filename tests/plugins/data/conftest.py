from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from core_engine_data import Dialogues

from core_engine import DataSourceContext, Example


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """A file of that name and content, in a fresh folder."""

    def _write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


@pytest.fixture
def dialogues(write: Callable[[str, str | bytes], Path]) -> Callable[..., list[Example]]:
    """What the source ``dialogues`` reads from a file of that name and content."""

    def _read(name: str, content: str | bytes, **options: Any) -> list[Example]:
        return list(Dialogues(write(name, content), **options).build(DataSourceContext(seed=0)).read())

    return _read


@pytest.fixture
def jsonl(dialogues: Callable[..., list[Example]]) -> Callable[..., list[Example]]:
    """The same, from rows that are written as ``faq.jsonl``."""

    def _read(rows: Sequence[object], **options: Any) -> list[Example]:
        return dialogues("faq.jsonl", "".join(json.dumps(row) + "\n" for row in rows), **options)

    return _read
