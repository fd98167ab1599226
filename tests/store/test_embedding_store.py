from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest
import torch
from counting_teacher import rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from structlog.testing import capture_logs

from core_engine.errors import DataError, OutputError
from core_engine.store.store import EmbeddingStore

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


def filled(root: Path, texts: list[str] = ["a", "b", "c"]) -> Path:  # noqa: B006
    """Add one shard to a store and give its path."""
    store = EmbeddingStore(root, "teacher", 4)
    before = set(store.folder.glob("*"))
    store.add(texts, rows_of(texts))
    [path] = set(store.folder.glob("*")) - before
    return path


def warnings_on_opening(root: Path) -> tuple[EmbeddingStore, list[dict[str, str]]]:
    with capture_logs() as logs:
        store = EmbeddingStore(root, "teacher", 4)
    return store, [dict(log) for log in logs if log["log_level"] == "warning"]


@settings(max_examples=50, deadline=None)
@given(batches=st.lists(st.lists(TEXT, unique=True, max_size=6), max_size=4), asked=st.lists(TEXT, max_size=6))
def test_what_was_added_is_found_again_also_after_reopening(batches: list[list[str]], asked: list[str]) -> None:
    with tempfile.TemporaryDirectory() as root:
        store = EmbeddingStore(Path(root), "teacher", 4)
        for batch in batches:
            store.add(batch, rows_of(batch))
        known = [text for batch in batches for text in batch]
        for opened in (store, EmbeddingStore(Path(root), "teacher", 4)):
            assert len(opened) == len(set(known))
            assert opened.missing(asked) == [text for text in dict.fromkeys(asked) if text not in set(known)]
            assert torch.equal(opened.get(known), rows_of(known))


def test_rows_are_a_copy_that_may_be_changed(tmp_path: Path) -> None:
    filled(tmp_path)
    store = EmbeddingStore(tmp_path, "teacher", 4)
    store.get(["a", "b"]).zero_()
    assert torch.equal(store.get(["a", "b"]), rows_of(["a", "b"]))


def test_a_text_without_a_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        EmbeddingStore(tmp_path, "teacher", 4).get(["a"])


def test_teachers_do_not_see_each_others_rows(tmp_path: Path) -> None:
    filled(tmp_path)
    other = EmbeddingStore(tmp_path, "another ../teacher\n", 4)
    assert other.missing(["a"]) == ["a"]
    other.add(["a"], torch.ones(1, 4))
    assert torch.equal(EmbeddingStore(tmp_path, "teacher", 4).get(["a"]), rows_of(["a"]))
    assert torch.equal(EmbeddingStore(tmp_path, "another ../teacher\n", 4).get(["a"]), torch.ones(1, 4))
    assert {path.parent for path in tmp_path.iterdir()} == {tmp_path}


def test_the_file_says_what_it_holds(tmp_path: Path) -> None:
    with safe_open(filled(tmp_path), framework="pt") as file:
        metadata = file.metadata()
        assert int(metadata.pop("checksum")) > 0
        assert metadata == {"format": "2", "fingerprint": "teacher", "dim": "4", "dtype": "float32", "teacher": "{}"}
        assert file.get_slice("keys").get_shape() == [3, 32]
        assert torch.equal(file.get_tensor("rows"), rows_of(["a", "b", "c"]))


def test_opening_and_reading_create_nothing(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "root", "teacher", 4)
    assert store.missing(["a"]) == ["a"]
    assert store.get([]).shape == (0, 4)
    store.add([], torch.empty(0, 4))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [torch.ones(2, 4), torch.ones(1, 5), torch.ones(1, 4).double(), torch.ones(4)])
def test_rows_of_another_shape_or_type_are_refused(tmp_path: Path, rows: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"float32 \[1, 4\]"):
        EmbeddingStore(tmp_path, "teacher", 4).add(["a"], rows)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_torn_shard_costs_itself_only(tmp_path: Path, kept: int) -> None:
    filled(tmp_path, ["a", "b"])
    torn = filled(tmp_path, ["c", "d"])
    torn.write_bytes(torn.read_bytes()[:kept])
    store, [warning] = warnings_on_opening(tmp_path)
    assert warning["path"] == str(torn)
    assert store.missing(["a", "b", "c", "d"]) == ["c", "d"]
    store.add(["c", "d"], rows_of(["c", "d"]))
    assert EmbeddingStore(tmp_path, "teacher", 4).missing(["a", "b", "c", "d"]) == []


def rewrite(path: Path, change: dict[str, torch.Tensor], **metadata: str) -> None:
    with safe_open(path, framework="pt") as file:
        before = file.metadata()
    save_file(load_file(path) | change, path, metadata=before | metadata)


@pytest.mark.parametrize(
    ("change", "metadata"),
    [
        ({}, {"fingerprint": "other"}),
        ({}, {"dim": "3"}),
        ({"rows": torch.ones(3, 5)}, {"dim": "5"}),
        ({"rows": torch.ones(3, 4).half()}, {}),
        ({"rows": torch.ones(12)}, {}),
        ({"rows": torch.tensor(1.0)}, {}),
        ({"keys": torch.zeros(2, 32, dtype=torch.uint8)}, {}),
        ({"keys": torch.zeros(3, 31, dtype=torch.uint8)}, {}),
        ({"keys": torch.zeros(3, 32)}, {}),
    ],
    ids=str,
)
def test_a_shard_that_does_not_fit_is_skipped(
    tmp_path: Path, change: dict[str, torch.Tensor], metadata: dict[str, str]
) -> None:
    path = filled(tmp_path)
    rewrite(path, change, **metadata)
    store, [warning] = warnings_on_opening(tmp_path)
    assert warning["path"] == str(path)
    assert len(store) == 0


def test_a_foreign_file_is_skipped(tmp_path: Path) -> None:
    foreign = filled(tmp_path).with_name("foreign.safetensors")
    save_file({"weight": torch.ones(2)}, foreign)
    store, [warning] = warnings_on_opening(tmp_path)
    assert warning["path"] == str(foreign)
    assert len(store) == 3


def test_what_a_dead_writer_left_is_ignored(tmp_path: Path) -> None:
    whole = filled(tmp_path)
    whole.with_name("dead.tmp").write_bytes(whole.read_bytes()[:50])
    store, warnings = warnings_on_opening(tmp_path)
    assert warnings == []
    assert len(store) == 3


def test_another_format_version_is_an_error(tmp_path: Path) -> None:
    path = filled(tmp_path)
    rewrite(path, {}, format="3")
    with pytest.raises(DataError, match="store format 3; this version of core-engine reads format 2") as error:
        EmbeddingStore(tmp_path, "teacher", 4)
    assert str(path) in str(error.value)
    assert "CORE_ENGINE_CACHE" in str(error.value)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = EmbeddingStore(tmp_path / "file", "teacher", 4)  # a file stands where the folder should
    for attempt in (store.require_writable, lambda: store.add(["a"], torch.ones(1, 4))):
        with pytest.raises(OutputError, match="CORE_ENGINE_CACHE") as error:
            attempt()
        assert str(store.folder) in str(error.value)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store = EmbeddingStore(tmp_path, "teacher", 4)
    with pytest.raises(OutputError, match="No space left on device"):
        store.add(["a"], torch.ones(1, 4))
    assert list(store.folder.iterdir()) == []
    assert store.missing(["a"]) == ["a"]


def test_a_writable_folder_is_left_as_it_was(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, "teacher", 4)
    store.require_writable()
    assert list(store.folder.iterdir()) == []


def test_a_text_that_is_not_unicode_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\\udc80"):
        EmbeddingStore(tmp_path, "teacher", 4).missing(["a\udc80"])


def write_many(root: str, name: str, start: multiprocessing.synchronize.Barrier) -> None:
    store = EmbeddingStore(Path(root), "teacher", 4)
    start.wait()
    for i in range(30):
        texts = [f"{name} {i}", f"shared {i}"]
        store.add(texts, rows_of(texts))


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2)
    writers = [spawn.Process(target=write_many, args=(str(tmp_path), name, start)) for name in ("left", "right")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=120)
    assert [writer.exitcode for writer in writers] == [0, 0]
    store, warnings = warnings_on_opening(tmp_path)
    texts = [f"{name} {i}" for name in ("left", "right", "shared") for i in range(30)]
    assert warnings == []
    assert len(store) == 90
    assert torch.equal(store.get(texts), rows_of(texts))


def write_and_die(root: str) -> None:
    store = EmbeddingStore(Path(root), "teacher", 4)
    store.add(["a"], rows_of(["a"]))
    os.fsync = lambda _: os._exit(9)  # type: ignore[assignment]
    store.add(["b"], rows_of(["b"]))


def test_a_writer_that_dies_in_the_middle_costs_one_shard(tmp_path: Path) -> None:
    writer = multiprocessing.get_context("spawn").Process(target=write_and_die, args=(str(tmp_path),))
    writer.start()
    writer.join(timeout=120)
    assert writer.exitcode == 9
    store, warnings = warnings_on_opening(tmp_path)
    assert len(list(store.folder.iterdir())) == 2  # a whole shard, and what the dead writer had begun
    assert warnings == []
    assert store.missing(["a", "b"]) == ["b"]


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_a_broken_link_is_skipped(tmp_path: Path) -> None:
    whole = filled(tmp_path)
    broken = whole.with_name("broken.safetensors")
    broken.symlink_to("nothing")
    store, [warning] = warnings_on_opening(tmp_path)
    assert warning["path"] == str(broken)
    assert len(store) == 3


@pytest.mark.parametrize(
    ("error", "told"),
    [(PermissionError(13, "Permission denied"), None), (OSError(24, "Too many open files"), "try again")],
)
def test_a_file_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, told: str | None
) -> None:
    whole = filled(tmp_path)
    opened = Path.open

    def refuse(self: Path, *arguments: object) -> object:
        if self == whole:
            raise error
        return opened(self, *arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    if told is None:  # another user's: its rows are encoded again
        store, [warning] = warnings_on_opening(tmp_path)
        assert (warning["path"], warning["reason"]) == (str(whole), "Permission denied")
        assert len(store) == 0
    else:
        with pytest.raises(DataError, match=f"Too many open files; {told}"):
            EmbeddingStore(tmp_path, "teacher", 4)


@pytest.mark.parametrize("teacher", ["[" * 100_000, "null", "[1]", "{"])
def test_metadata_that_is_no_description_is_a_torn_file(tmp_path: Path, teacher: str) -> None:
    path = filled(tmp_path)
    rewrite(path, {}, teacher=teacher)
    store, [warning] = warnings_on_opening(tmp_path)
    assert warning["path"] == str(path)
    assert len(store) == 0
