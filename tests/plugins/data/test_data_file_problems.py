"""Files that cannot be read at all, and bytes that are not UTF-8."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core_engine_data import Dialogues, Embeddings, Texts

from core_engine import DataSourceContext
from core_engine.errors import DataError

Write = Callable[[str, str | bytes], Path]

SOURCES = [(Dialogues, "x.jsonl"), (Dialogues, "x.csv"), (Texts, "x.txt"), (Embeddings, "x.npy")]


def _both_say(config: Any, message: str) -> None:
    """``check()`` reports it, and reading raises it."""
    [(_, problem)] = config.check()
    assert message in problem
    with pytest.raises(DataError, match=re.escape(message)):
        list(config.build(DataSourceContext(seed=0)).read())


@pytest.mark.parametrize(("source", "name"), SOURCES)
def test_a_missing_file(tmp_path: Path, source: Any, name: str) -> None:
    _both_say(source(tmp_path / name), f"{tmp_path / name}: no such file; check the path")
    (tmp_path / "file").touch()
    _both_say(source(tmp_path / "file" / name), "no such file")


@pytest.mark.parametrize(("source", "name"), SOURCES)
def test_a_folder(tmp_path: Path, source: Any, name: str) -> None:
    (tmp_path / name).mkdir()
    _both_say(source(tmp_path / name), f"{name}: this is a folder; name a file in it")


@pytest.mark.parametrize(("source", "name"), SOURCES)
def test_an_empty_file(write: Write, source: Any, name: str) -> None:
    _both_say(source(write(name, b"")), f"{name}: the file is empty")


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        (Dialogues, "x.tsv", "file type '.tsv' is not known here; use one of .jsonl, .json, .csv, .txt"),
        (Dialogues, "x", "no file type is not known here"),
        (Texts, "x.csv", "file type '.csv' is not known here; use one of .txt, .jsonl"),
        (Embeddings, "x.pt", "file type '.pt' is not known here; use one of .npy, .safetensors"),
    ],
)
def test_an_unknown_type(write: Write, source: Any, name: str, message: str) -> None:
    _both_say(source(write(name, b"x")), message)


def test_a_name_no_system_takes() -> None:
    _both_say(Texts(Path("x" * 10_000 + ".txt")), "cannot be read")


def test_the_type_is_known_in_any_case(write: Write) -> None:
    [example] = Dialogues(write("X.CSV", "q,a\nx,y\n")).build(DataSourceContext(seed=0)).read()
    assert example.input == "x"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", "one\ncaf\u00e9\n".encode("latin-1"), ":2: not UTF-8 text: byte 0xe9 at position 7 of the file"),
        ("x.txt", b"\xef\xbb\xbfa\nb\xff", ":2: not UTF-8 text: byte 0xff at position 6"),
        ("x.txt", b"\xef\xbb\xbfa\xff", ":1: not UTF-8 text: byte 0xff at position 4"),
        ("x.txt", "one".encode("utf-16"), ":1: not UTF-8 text: byte 0xff at position 0"),
        ("x.txt", "one".encode("utf-16-le"), ":1: not UTF-8 text: byte 0x00 at position 1"),
        ("x.jsonl", b'{"text": "caf\xe9"}', ":1: not UTF-8 text: byte 0xe9 at position 13"),
    ],
)
def test_another_encoding(write: Write, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"{name}{message}")) as error:
        list(Texts(write(name, content), on_error="skip").build(DataSourceContext(seed=0)).read())
    encoding = "UTF-16" if b"\0" in content else "WINDOWS-1252"
    assert f"iconv -f {encoding} -t UTF-8" in str(error.value)


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.txt"])
def test_another_encoding_of_dialogues(write: Write, name: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"{name}:2: not UTF-8 text: byte 0x92 at position 3")):
        list(Dialogues(write(name, b"\n\nit"[1:] + b"\x92s"), on_error="skip").build(DataSourceContext(seed=0)).read())
