from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from counting_teacher import rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from core_engine.contracts.embeddings import StoredDtype
from core_engine.errors import TeacherError
from core_engine.store.store import USED, EmbeddingStore

DTYPES: list[StoredDtype] = ["float32", "float16", "bfloat16"]


def texts_of(start: int, count: int) -> list[str]:
    return [f"text {i}" for i in range(start, start + count)]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    picks=st.lists(st.integers(0, 10_000), max_size=20),
    compacted=st.booleans(),
)
def test_rows_are_gathered_by_number_from_any_number_of_segments(
    sizes: list[int], picks: list[int], compacted: bool
) -> None:
    with tempfile.TemporaryDirectory() as root:
        store = EmbeddingStore(Path(root), "teacher", 4)
        known: list[str] = []
        for size in sizes:
            batch = texts_of(len(known), size)
            store.add(batch, rows_of(batch))
            known += batch
        if compacted:
            store.compact()
        asked = [known[pick % len(known)] for pick in picks]
        numbers = store.locate(asked)
        assert numbers.dtype == torch.int64
        assert torch.equal(store.gather(numbers), rows_of(asked))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_stored_in_the_dtype_and_come_back_as_float32(tmp_path: Path, dtype: StoredDtype) -> None:
    texts = texts_of(0, 5)
    store = EmbeddingStore(tmp_path, "teacher", 4, dtype)
    store.add(texts, rows_of(texts))
    for opened in (store, EmbeddingStore(tmp_path, "teacher", 4, dtype)):
        rounded = rows_of(texts).to(getattr(torch, dtype))
        assert opened.gather(opened.locate(texts)).dtype == rounded.dtype
        assert opened.get(texts).dtype == torch.float32
        assert torch.equal(opened.get(texts), rounded.float())


def test_stores_of_different_dtypes_are_apart(tmp_path: Path) -> None:
    stores = [EmbeddingStore(tmp_path, "teacher", 4, dtype) for dtype in DTYPES]
    stores[0].add(["a"], rows_of(["a"]))
    assert [EmbeddingStore(tmp_path, "teacher", 4, dtype).missing(["a"]) for dtype in DTYPES] == [[], ["a"], ["a"]]
    assert len({store.folder for store in stores}) == 3


@pytest.mark.parametrize("value", [1e5, 1e-9], ids=["overflow", "underflow"])
def test_a_row_that_the_dtype_cannot_hold_is_an_error(tmp_path: Path, value: float) -> None:
    store = EmbeddingStore(tmp_path, "teacher", 4, "float16")
    with pytest.raises(TeacherError, match=r"of 'b' does not fit float16 \(1 such of 2\).*bfloat16"):
        store.add(["a", "b"], torch.stack([torch.ones(4), torch.full((4,), value)]))
    assert store.missing(["a", "b"]) == ["a", "b"]


def test_a_store_sees_what_others_write_when_it_is_refreshed(tmp_path: Path) -> None:
    reader, writer = EmbeddingStore(tmp_path, "teacher", 4), EmbeddingStore(tmp_path, "teacher", 4)
    writer.add(["a"], rows_of(["a"]))
    assert reader.missing(["a"]) == ["a"]
    reader.refresh()
    assert torch.equal(reader.get(["a"]), rows_of(["a"]))


def test_a_row_that_was_stored_twice_counts_once(tmp_path: Path) -> None:
    one, other = EmbeddingStore(tmp_path, "teacher", 4), EmbeddingStore(tmp_path, "teacher", 4)
    one.add(["a", "b"], rows_of(["a", "b"]))
    other.add(["b", "c"], rows_of(["b", "c"]))
    store = EmbeddingStore(tmp_path, "teacher", 4)
    assert len(store) == 3
    assert torch.equal(store.get(["c", "b", "a"]), rows_of(["c", "b", "a"]))


def test_use_is_noted_and_a_store_that_cannot_note_it_is_fine(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, "teacher", 4)
    store.mark_used()  # there is no folder yet
    store.add(["a"], rows_of(["a"]))
    store.mark_used()
    assert (store.folder / USED).is_file()


@pytest.mark.parametrize("segments", [1, 2])
@pytest.mark.parametrize("number", [-1, 4])
def test_a_row_number_that_there_is_not(tmp_path: Path, segments: int, number: int) -> None:
    store = EmbeddingStore(tmp_path, "teacher", 4)
    for start in range(0, 4, 4 // segments):
        texts = texts_of(start, 4 // segments)
        store.add(texts, rows_of(texts))
    with pytest.raises(IndexError, match="from 0 to 3"):
        store.gather(torch.tensor([0, number]))
    assert store.gather(torch.tensor([], dtype=torch.int64)).shape == (0, 4)
