from __future__ import annotations

import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest
import torch
from counting_teacher import rows_of
from filelock import FileLock
from structlog.testing import capture_logs

from core_engine.errors import OutputError
from core_engine.store import compaction, segment
from core_engine.store.store import EmbeddingStore


def add(root: Path, *sizes: int, start: int = 0) -> list[str]:
    """One segment for each size; all their texts."""
    store = EmbeddingStore(root, "teacher", 4)
    texts: list[str] = []
    for size in sizes:
        batch = [f"text {start + len(texts) + i}" for i in range(size)]
        store.add(batch, rows_of(batch))
        texts += batch
    return texts


def segments(root: Path) -> list[Path]:
    return list(EmbeddingStore(root, "teacher", 4).folder.glob("*.safetensors"))


def test_small_segments_become_one_and_every_row_stays(tmp_path: Path) -> None:
    texts = add(tmp_path, 3, 1, 4, 1, 5)
    store = EmbeddingStore(tmp_path, "teacher", 4)
    store.compact()
    assert len(segments(tmp_path)) == 1
    for opened in (store, EmbeddingStore(tmp_path, "teacher", 4)):
        assert torch.equal(opened.get(texts), rows_of(texts))
        assert len(opened) == len(texts)
    assert segment.read(segments(tmp_path)[0]).is_intact()


def test_a_row_that_was_stored_twice_is_kept_once(tmp_path: Path) -> None:
    add(tmp_path, 3, 3)
    add_again = EmbeddingStore(tmp_path / "other", "teacher", 4)
    add_again.add(["text 1", "new"], rows_of(["text 1", "new"]))
    [path] = add_again.folder.glob("*.safetensors")
    store = EmbeddingStore(tmp_path, "teacher", 4)
    path.rename(store.folder / path.name)
    store.compact()
    assert len(store) == 7
    assert len(segment.read(segments(tmp_path)[0]).keys) == 7


def test_a_large_segment_is_not_rewritten_for_a_small_one(tmp_path: Path) -> None:
    add(tmp_path, 100)
    [large] = segments(tmp_path)
    texts = add(tmp_path, 1, 1, start=100)
    EmbeddingStore(tmp_path, "teacher", 4).compact()
    assert large in segments(tmp_path)
    assert len(segments(tmp_path)) == 2
    assert EmbeddingStore(tmp_path, "teacher", 4).missing(texts) == []


def test_a_short_last_segment_does_not_keep_the_others_apart(tmp_path: Path) -> None:
    add(tmp_path, 4, 4, 4, 1)
    EmbeddingStore(tmp_path, "teacher", 4).compact()
    assert len(segments(tmp_path)) == 1


def test_many_runs_leave_few_files_and_rewrite_a_row_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0
    write = segment.write

    def counting(folder: Path, header: segment.Header, keys: list[bytes], rows: torch.Tensor) -> Path:
        nonlocal written
        written += len(keys)
        return write(folder, header, keys, rows)

    monkeypatch.setattr(segment, "write", counting)
    for run in range(64):
        add(tmp_path, 2, start=2 * run)
        EmbeddingStore(tmp_path, "teacher", 4).compact()
    assert len(EmbeddingStore(tmp_path, "teacher", 4)) == 128
    assert len(segments(tmp_path)) <= 7  # log2(64) and one
    assert written <= 128 * 8


def test_segments_are_not_merged_beyond_the_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "LARGEST", 10 * 4 * 4)  # ten rows
    texts = add(tmp_path, *[4] * 9)
    store = EmbeddingStore(tmp_path, "teacher", 4)
    store.compact()
    assert sorted(len(segment.read(path).keys) for path in segments(tmp_path)) == [12, 12, 12]
    before = set(segments(tmp_path))
    store.compact()
    assert set(segments(tmp_path)) == before
    assert torch.equal(store.get(texts), rows_of(texts))


def test_a_reader_that_was_open_goes_on_and_finds_the_merged_rows(tmp_path: Path) -> None:
    texts = add(tmp_path, 2, 2)
    reader = EmbeddingStore(tmp_path, "teacher", 4)
    EmbeddingStore(tmp_path, "teacher", 4).compact()
    more = add(tmp_path, 1, start=4)
    assert torch.equal(reader.get(texts), rows_of(texts))  # of files that are gone
    reader.refresh()
    assert torch.equal(reader.get(texts + more), rows_of(texts + more))
    assert len(reader) == 5


def test_a_file_that_is_compacted_away_while_a_reader_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = add(tmp_path, 2, 2)
    read = segment.read

    def compact_first(path: Path) -> segment.Segment:
        monkeypatch.setattr(segment, "read", read)
        EmbeddingStore(tmp_path, "teacher", 4).compact()
        return read(path)

    monkeypatch.setattr(segment, "read", compact_first)
    store = EmbeddingStore(tmp_path, "teacher", 4)
    assert torch.equal(store.get(texts), rows_of(texts))


def test_a_listing_made_during_a_compaction_is_not_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = add(tmp_path, 2, 2)
    glob = Path.glob

    def torn(self: Path, pattern: str) -> list[Path]:  # it was made before the merged file, and after the others went
        monkeypatch.setattr(Path, "glob", glob)
        return []

    monkeypatch.setattr(Path, "glob", torn)
    assert EmbeddingStore(tmp_path, "teacher", 4).missing(texts) == []


def test_nothing_is_done_while_another_process_is_at_it(tmp_path: Path) -> None:
    add(tmp_path, 1, 1)
    store = EmbeddingStore(tmp_path, "teacher", 4)
    with FileLock(store.folder / compaction.LOCK):
        store.compact()
        assert len(segments(tmp_path)) == 2
    store.compact()
    assert len(segments(tmp_path)) == 1


def test_a_damaged_segment_is_left_alone_and_named(tmp_path: Path) -> None:
    add(tmp_path, 2, 2, 2)
    store = EmbeddingStore(tmp_path, "teacher", 4)
    path = segments(tmp_path)[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # of a row: rows come after keys, or the other way round, and both are summed
    path.write_bytes(content)
    with capture_logs() as logs:
        store.compact()
    assert [log["path"] for log in logs if log["log_level"] == "warning"] == [str(path)]
    assert path in segments(tmp_path)
    assert len(segments(tmp_path)) == 2


def test_foreign_and_torn_files_stay_where_they_are(tmp_path: Path) -> None:
    texts = add(tmp_path, 1, 1)
    store = EmbeddingStore(tmp_path, "teacher", 4)
    torn = store.folder / "torn.safetensors"
    torn.write_bytes(b"no safetensors")
    store.compact()
    assert torn.exists()
    assert EmbeddingStore(tmp_path, "teacher", 4).missing(texts) == []


def test_only_old_unfinished_files_are_removed(tmp_path: Path) -> None:
    add(tmp_path, 1, 1)
    store = EmbeddingStore(tmp_path, "teacher", 4)
    old, young = store.folder / "old.tmp", store.folder / "young.tmp"
    for path in (old, young):
        path.write_bytes(b"")
    os.utime(old, (time.time() - 2 * compaction.ABANDONED,) * 2)
    store.compact()
    assert (old.exists(), young.exists()) == (False, True)


def test_a_full_disk_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = add(tmp_path, 1, 1)
    store = EmbeddingStore(tmp_path, "teacher", 4)
    before = set(segments(tmp_path))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left on device"):
            store.compact()
    assert set(segments(tmp_path)) == before
    assert torch.equal(EmbeddingStore(tmp_path, "teacher", 4).get(texts), rows_of(texts))


def add_and_compact_for_ever(root: str, told: str, first: int) -> None:
    store = EmbeddingStore(Path(root), "teacher", 4)
    with Path(told).open("a", buffering=1) as acknowledged:
        for number in range(first, first + 100_000):
            texts = [f"text {number}"]
            store.add(texts, rows_of(texts))
            acknowledged.write(f"{texts[0]}\n")
            store.compact()


def test_no_acknowledged_row_is_lost_by_kill_9_while_compacting(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["counting_teacher", "core_engine.store.store"])
    told = tmp_path / "told"
    rng = random.Random(0)
    for round_ in range(15):
        target = (str(tmp_path / "root"), str(told), 100_000 * round_)
        process = context.Process(target=add_and_compact_for_ever, args=target)
        before = told.stat().st_size if told.exists() else 0
        process.start()
        while process.is_alive() and (not told.exists() or told.stat().st_size == before):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        texts = told.read_text().split("\n")[:-1]
        with capture_logs() as logs:
            store = EmbeddingStore(tmp_path / "root", "teacher", 4)
        assert logs == []
        assert torch.equal(store.get(texts), rows_of(texts))
    assert len(texts) > 30
