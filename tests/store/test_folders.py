from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from counting_teacher import rows_of

from core_engine.errors import DataError, OutputError
from core_engine.store import compaction
from core_engine.store.folders import DAY, damaged, list_folders, prune
from core_engine.store.store import USED, EmbeddingStore


def filled(root: Path, fingerprint: str, days_ago: float = 0) -> EmbeddingStore:
    store = EmbeddingStore(root, fingerprint, 4, teacher={"type": "counting", "model": fingerprint})
    for texts in (["a", "b"], ["c"]):
        store.add(texts, rows_of(texts))
    store.mark_used()
    os.utime(store.folder / USED, (time.time() - days_ago * DAY,) * 2)
    return store


def test_stores_are_listed_with_what_they_hold(tmp_path: Path) -> None:
    old, new = filled(tmp_path, "old", 3), filled(tmp_path, "new")
    folders = list_folders(tmp_path)
    assert [folder.path for folder in folders] == [new.folder, old.folder]
    facts = folders[0].to_dict()
    assert (facts["rows"], facts["segments"], facts["dim"], facts["dtype"]) == (3, 2, 4, "float32")
    assert facts["teacher"] == {"type": "counting", "model": "new"}
    assert facts["bytes"] == sum(path.stat().st_size for path in new.folder.iterdir() if path.is_file())
    assert list_folders(tmp_path / "nothing") == []


def test_files_that_hold_no_rows_are_named_and_pruned(tmp_path: Path) -> None:
    store = filled(tmp_path, "teacher")
    torn, other, left = (store.folder / name for name in ("torn.safetensors", "other.safetensors", "left.tmp"))
    whole = next(store.folder.glob("*.safetensors")).read_bytes()
    torn.write_bytes(b"torn")
    other.write_bytes(whole.replace(b'"format":"2"', b'"format":"9"'))
    left.write_bytes(b"")
    os.utime(left, (time.time() - 2 * compaction.ABANDONED,) * 2)
    [folder] = list_folders(tmp_path)
    assert set(folder.useless) == {torn}
    assert "format 9" in folder.foreign[other]
    planned = prune(tmp_path, dry_run=True)
    assert {one.path for one in planned} == {torn, left}
    assert torn.exists()
    assert prune(tmp_path) == planned
    assert [path.exists() for path in (torn, other, left)] == [False, True, False]  # the next version's is kept
    other.unlink()
    assert prune(tmp_path) == []
    assert EmbeddingStore(tmp_path, "teacher", 4).missing(["a", "b", "c"]) == []


def test_a_damaged_segment_is_found_and_pruned(tmp_path: Path) -> None:
    store = filled(tmp_path, "teacher")
    path = min(store.folder.glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert damaged(store.folder) == [path]
    assert [one.path for one in prune(tmp_path)] == [path]
    assert damaged(store.folder) == []
    assert len(EmbeddingStore(tmp_path, "teacher", 4)) in (1, 2)


def test_stores_that_nobody_uses_go_whole(tmp_path: Path) -> None:
    old, new = filled(tmp_path, "old", 31), filled(tmp_path, "new", 29)
    assert prune(tmp_path) == []
    [pruned] = prune(tmp_path, unused_days=30)
    assert pruned.path == old.folder
    assert pruned.bytes > 0
    assert [folder.path for folder in list_folders(tmp_path)] == [new.folder]


def test_a_store_goes_by_its_name(tmp_path: Path) -> None:
    one, other = filled(tmp_path, "one"), filled(tmp_path, "other")
    prune(tmp_path, name=one.folder.name)
    assert [folder.path for folder in list_folders(tmp_path)] == [other.folder]
    for wrong in ("nothing", "..", ""):
        with pytest.raises(DataError, match="no embedding stores are named"):
            prune(tmp_path, name=wrong)


def test_a_store_does_not_go_from_under_its_writers(tmp_path: Path) -> None:
    store = filled(tmp_path, "one")
    with store.writer(), pytest.raises(DataError, match="is writing embeddings there"):
        prune(tmp_path, name=store.folder.name)
    assert EmbeddingStore(tmp_path, "one", 4).missing(["a", "b", "c"]) == []
    prune(tmp_path, name=store.folder.name)
    assert list_folders(tmp_path) == []


def test_an_empty_store_is_pruned_unless_someone_is_about_to_fill_it(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, "one", 4)
    store.require_writable()
    with store.writer():
        assert prune(tmp_path) == []
    assert [one.why for one in prune(tmp_path)] == ["empty"]
    assert list_folders(tmp_path) == []


def test_a_name_may_be_shortened(tmp_path: Path) -> None:
    store = filled(tmp_path, "one")
    with pytest.raises(DataError, match="four at least"):
        prune(tmp_path, name=store.folder.name[:3])
    [pruned] = prune(tmp_path, name=store.folder.name[:4])
    assert pruned.path == store.folder


def test_a_file_in_the_place_of_the_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        list_folders(tmp_path / "file" / "embeddings")
