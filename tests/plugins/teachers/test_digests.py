"""Digests of large files are remembered, and never for another file."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from core_engine_teachers import digests
from core_engine_teachers.digests import State, file_digest
from reference import build

from core_engine.errors import TeacherError

REAL_TIME = time.time


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("CORE_ENGINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read through, in order."""
    names: list[str] = []
    original = hashlib.file_digest

    def noting(file: Any, kind: str) -> Any:
        names.append(Path(file.name).name)
        return original(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", noting)
    return names


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    later(monkeypatch)
    return path


def later(monkeypatch: pytest.MonkeyPatch, seconds: float = 10) -> None:
    """As if what was written now had been written a while ago."""
    now = REAL_TIME() + seconds
    monkeypatch.setattr(digests.time, "time", lambda: now)


def expected(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_is_read_once(file: Path, read: list[str], cache: Path) -> None:
    assert [file_digest(file), file_digest(file)] == [expected(file)] * 2
    assert read == ["model.safetensors"]
    [record] = (cache / "digests").iterdir()
    assert json.loads(record.read_text())["sha256"] == expected(file)


def test_a_warm_fingerprint_reads_no_file(bert: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    later(monkeypatch)
    first = build(bert).fingerprint
    assert "model.safetensors" in read
    read.clear()
    assert build(bert).fingerprint == first
    assert read == []


def test_a_link_and_its_file_share_a_record(file: Path, read: list[str], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(file)
    assert file_digest(tmp_path / "link") == file_digest(file)
    assert len(read) == 1


def test_a_changed_file_is_read_again(file: Path, read: list[str]) -> None:
    file_digest(file)
    file.write_bytes(b"heavier")
    assert file_digest(file) == expected(file)
    assert len(read) == 2


def test_times_that_are_put_back_do_not_hide_a_change(file: Path) -> None:
    status = file.stat()
    file_digest(file)
    time.sleep(0.02)  # the change time has the resolution of the system's clock tick
    file.write_bytes(b"WEIGHTS")  # of the same length
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_mtime_ns == status.st_mtime_ns
    assert file_digest(file) == expected(file)


@pytest.mark.parametrize("part", [attribute.name for attribute in attrs.fields(State)])
def test_a_record_is_valid_for_this_very_file_only(file: Path, cache: Path, part: str) -> None:
    file_digest(file)
    [record] = (cache / "digests").iterdir()
    content = json.loads(record.read_text())
    content |= {part: "elsewhere" if part == "path" else content[part] + 1, "sha256": "0" * 64}
    record.write_text(json.dumps(content))
    assert file_digest(file) == expected(file)
    record.write_text(json.dumps({**attrs.asdict(State.of(file)), "sha256": "0" * 64}))
    assert file_digest(file) == "0" * 64  # it is this record that is looked at


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"sha256": 3}', "\udcff"])
def test_a_damaged_record_costs_reading_the_file(file: Path, cache: Path, content: str) -> None:
    file_digest(file)
    [record] = (cache / "digests").iterdir()
    record.write_bytes(content.encode(errors="surrogateescape"))
    assert file_digest(file) == expected(file)
    assert json.loads(record.read_text())["sha256"] == expected(file)


def test_a_cache_that_cannot_be_written_to_costs_reading_the_file(file: Path, read: list[str], cache: Path) -> None:
    cache.write_text("a file in its place")
    assert [file_digest(file), file_digest(file)] == [expected(file)] * 2
    assert len(read) == 2


def test_a_file_that_was_just_changed_is_not_remembered(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch, seconds=1.5)
    assert file_digest(file) == expected(file)
    assert not cache.exists()
    later(monkeypatch, seconds=2.5)
    file_digest(file)
    assert cache.exists()


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = hashlib.file_digest

    def slow(stream: Any, kind: str) -> Any:
        digest = original(stream, kind)
        file.write_bytes(b"other weights")
        return digest

    monkeypatch.setattr(hashlib, "file_digest", slow)
    file_digest(file)
    assert not cache.exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="absent: cannot be read"):
        file_digest(tmp_path / "absent")
