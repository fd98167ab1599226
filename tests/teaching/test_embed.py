from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from counting_teacher import CountingTeacher, rows_of
from structlog.testing import capture_logs

from core_engine.errors import OutputError, TeacherError
from core_engine.teaching.embed import CHUNK, embed
from core_engine.teaching.store import EmbeddingStore

TEXTS = ["b", "a", "b", "c", "a"]


def open_store(root: Path) -> EmbeddingStore:
    return EmbeddingStore(root, "counting", 4)


@pytest.mark.parametrize("with_store", [True, False])
def test_rows_come_in_the_order_of_the_texts_and_each_text_is_encoded_once(tmp_path: Path, with_store: bool) -> None:
    teacher = CountingTeacher()
    rows = embed(TEXTS, teacher, open_store(tmp_path) if with_store else None)
    assert torch.equal(rows, rows_of(TEXTS))
    assert teacher.calls == [["b", "a", "c"]]


@pytest.mark.parametrize("with_store", [True, False])
def test_no_texts(tmp_path: Path, with_store: bool) -> None:
    teacher = CountingTeacher()
    assert embed([], teacher, open_store(tmp_path) if with_store else None).shape == (0, 4)
    assert teacher.calls == []


def test_a_warm_call_asks_the_teacher_nothing(tmp_path: Path) -> None:
    embed(TEXTS, CountingTeacher(), open_store(tmp_path))
    teacher = CountingTeacher()
    assert torch.equal(embed(TEXTS[::-1], teacher, open_store(tmp_path)), rows_of(TEXTS[::-1]))
    assert teacher.calls == []


def test_only_what_is_missing_is_encoded(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    embed(["a", "b"], CountingTeacher(), store)
    teacher = CountingTeacher()
    assert torch.equal(embed(["c", "a", "d"], teacher, store), rows_of(["c", "a", "d"]))
    assert teacher.calls == [["c", "d"]]


def test_a_crash_loses_no_finished_chunk(tmp_path: Path) -> None:
    class Dying(CountingTeacher):
        def encode(self, texts: Sequence[str]) -> torch.Tensor:
            if self.calls:
                raise KeyboardInterrupt
            return super().encode(texts)

    texts = [f"text {i}" for i in range(CHUNK + 10)]
    with pytest.raises(KeyboardInterrupt):
        embed(texts, Dying(), open_store(tmp_path))
    teacher = CountingTeacher()
    assert torch.equal(embed(texts, teacher, open_store(tmp_path)), rows_of(texts))
    assert teacher.calls == [texts[CHUNK:]]


def test_long_lists_are_encoded_in_chunks_without_a_store_too() -> None:
    texts = [f"text {i}" for i in range(CHUNK + 10)]
    teacher = CountingTeacher()
    assert torch.equal(embed(texts, teacher, None), rows_of(texts))
    assert teacher.calls == [texts[:CHUNK], texts[CHUNK:]]


def test_what_was_done_is_logged(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with capture_logs() as logs:
        embed(TEXTS, CountingTeacher(), store)
        embed(TEXTS, CountingTeacher(), store)
    cold, warm = [log for log in logs if log["event"] == "embeddings ready"]
    assert (cold["texts"], cold["missing"], warm["texts"], warm["missing"]) == (5, 3, 5, 0)
    assert cold["seconds"] >= 0
    assert cold["texts_per_s"] > 0
    assert "texts_per_s" not in warm


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (np.ones((3, 4), dtype=np.float32), "must return a torch tensor, not ndarray"),
        (torch.ones(3, 4).double(), r"returned float64 \[3, 4\] on cpu; expected float32 \[3, 4\] on cpu"),
        (torch.ones(2, 4), r"returned float32 \[2, 4\]"),
        (torch.ones(3, 5), r"returned float32 \[3, 5\]"),
        (torch.ones(12), r"returned float32 \[12\]"),
        (torch.ones(3, 4, device="meta"), "on meta"),
        (torch.tensor([[1.0] * 4, [1, 1, float("nan"), 1], [1.0] * 4]), r"of 'a' is not finite \(1 such of 3\)"),
        (torch.tensor([[1.0] * 4, [1.0] * 4, [1, 1, float("-inf"), 1]]), "of 'c' is not finite"),
        (torch.tensor([[0.0] * 4, [1.0, -1, 0, 0], [0.0] * 4]), r"of 'b' is all zeros \(2 such of 3\)"),
    ],
    ids=str,
)
def test_an_answer_that_cannot_be_used_is_an_error_and_is_not_stored(tmp_path: Path, answer: object, told: str) -> None:
    class Odd(CountingTeacher):
        def encode(self, texts: Sequence[str]) -> torch.Tensor:
            return answer  # type: ignore[return-value]

    with pytest.raises(TeacherError, match=told):
        embed(TEXTS, Odd(), open_store(tmp_path))
    with pytest.raises(TeacherError, match=told):
        embed(TEXTS, Odd(), None)
    assert len(open_store(tmp_path)) == 0


def test_an_unwritable_store_is_found_before_anything_is_encoded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    teacher = CountingTeacher()
    with pytest.raises(OutputError):
        embed(TEXTS, teacher, open_store(tmp_path / "file"))
    assert teacher.calls == []


def test_a_store_of_another_teacher_is_refused(tmp_path: Path) -> None:
    for store in (EmbeddingStore(tmp_path, "other", 4), EmbeddingStore(tmp_path, "counting", 5)):
        with pytest.raises(ValueError, match="another teacher"):
            embed(TEXTS, CountingTeacher(), store)


def test_one_text_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(TypeError, match="sequence of texts"):
        embed("a text", CountingTeacher(), None)
