from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from counting_teacher import CountingTeacher, rows_of
from structlog.testing import capture_logs

from core_engine.errors import DataError, EngineError, OutputError, TeacherError
from core_engine.store.store import EmbeddingStore
from core_engine.teaching.embed import embed, embed_with_figures, fill
from core_engine.teaching.units import Share, launched_share

TEXTS = ["b", "a", "b", "c", "a"]


def open_store(root: Path) -> EmbeddingStore:
    return EmbeddingStore(root, "counting", 4)


@pytest.mark.parametrize("with_store", [True, False])
def test_rows_come_in_the_order_of_the_texts_and_each_text_is_encoded_once(tmp_path: Path, with_store: bool) -> None:
    teacher = CountingTeacher()
    rows = embed(TEXTS, teacher, open_store(tmp_path) if with_store else None)
    assert torch.equal(rows, rows_of(TEXTS))
    assert teacher.calls == [["a", "b", "c"]]


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


class Small(CountingTeacher):
    """Takes two short texts at a time."""

    chars_per_call = 32


def test_a_crash_loses_no_finished_batch(tmp_path: Path) -> None:
    class Dying(Small):
        def encode(self, texts: Sequence[str]) -> torch.Tensor:
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().encode(texts)

    texts = [f"text {i}" for i in range(10)]
    with pytest.raises(KeyboardInterrupt):
        embed(texts, Dying(), open_store(tmp_path))
    teacher = Small()
    assert torch.equal(embed(texts, teacher, open_store(tmp_path)), rows_of(texts))
    assert teacher.calls == [texts[4:6], texts[6:8], texts[8:]]


@pytest.mark.parametrize("with_store", [True, False])
def test_a_teacher_says_how_much_it_takes_at_a_time(tmp_path: Path, with_store: bool) -> None:
    texts = ["short", "x" * 100, "middle" * 5, "tiny"]
    teacher = Small()
    assert torch.equal(embed(texts, teacher, open_store(tmp_path) if with_store else None), rows_of(texts))
    assert teacher.calls == [["x" * 100], ["middle" * 5], ["short", "tiny"]]


def test_segments_are_compacted_at_the_end(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    embed([f"text {i}" for i in range(10)], Small(), store)
    assert len(list(store.folder.glob("*.safetensors"))) == 1


@pytest.mark.parametrize("with_store", [True, False])
def test_what_was_done_is_told(tmp_path: Path, with_store: bool) -> None:
    class Frugal(CountingTeacher):
        @property
        def usage(self) -> dict[str, int]:
            return {"tokens": 10 * sum(map(len, self.calls))}

    teacher = Frugal()
    embed(["z"], teacher, None)  # what it counted before does not count
    store = open_store(tmp_path) if with_store else None
    with capture_logs() as logs:
        cold = embed_with_figures(TEXTS, teacher, store)[1]
        warm = embed_with_figures([*TEXTS, "new"], teacher, store)[1]
    assert (cold.texts, cold.hits, cold.misses, cold.usage) == (3, 0, 3, {"tokens": 30})
    expected = (4, 3, 1, {"tokens": 10}) if with_store else (4, 0, 4, {"tokens": 40})
    assert (warm.texts, warm.hits, warm.misses, warm.usage) == expected
    assert [log for log in logs if log["event"] == "embeddings ready"] == [
        {"event": "embeddings ready", "log_level": "info", **figures.to_dict()} for figures in (cold, warm)
    ]
    assert cold.seconds > 0
    assert cold.to_dict()["texts_per_s"] == pytest.approx(3 / cold.seconds, rel=0.1)
    both = cold + warm
    assert (both.texts, both.hits, both.misses) == (7, expected[1], 3 + expected[2])
    assert both.usage == {"tokens": 30 + expected[3]["tokens"]}


@pytest.mark.parametrize("text", ["", "  \n"])
@pytest.mark.parametrize("with_store", [True, False])
def test_an_empty_text_is_refused_before_anything_is_encoded(tmp_path: Path, text: str, with_store: bool) -> None:
    teacher = CountingTeacher()
    with pytest.raises(DataError, match="text 2 is empty"):
        embed(["a", "b", text], teacher, open_store(tmp_path) if with_store else None)
    assert teacher.calls == []


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_of_the_work_are_disjoint_and_whole(tmp_path: Path, size: int) -> None:
    texts = [f"text {'x' * (i % 5)} {i}" for i in range(23)]
    teachers = [Small() for _ in range(size)]
    for rank, teacher in enumerate(teachers):
        fill(texts if rank % 2 else texts[::-1], teacher, open_store(tmp_path), Share(rank, size))
    encoded = [text for teacher in teachers for call in teacher.calls for text in call]
    assert sorted(encoded) == sorted(texts)
    assert max(sum(map(len, t.calls)) for t in teachers) <= -(-12 // size) * 2
    assert torch.equal(open_store(tmp_path).get(texts), rows_of(texts))


def test_the_share_is_what_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert launched_share() == Share(0, 1)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert launched_share() == Share(3, 8)
    for rank, size in (("8", "8"), ("-1", "2"), ("x", "2"), ("0", "0"), ("0", "two")):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", size)
        with pytest.raises(EngineError, match=f"RANK={rank} and WORLD_SIZE={size}"):
            launched_share()


def test_a_store_of_many_files_is_compacted_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core_engine.teaching.embed.MANY", 4)
    most = 0

    class Watching(Small):
        def encode(self, texts: Sequence[str]) -> torch.Tensor:
            nonlocal most
            most = max(most, len(list(store.folder.glob("*.safetensors"))))
            return super().encode(texts)

    store = open_store(tmp_path)
    texts = [f"text {i}" for i in range(60)]
    assert torch.equal(embed(texts, Watching(), store), rows_of(texts))
    assert 4 <= most <= 8


def test_each_batch_is_claimed_by_itself_and_the_last_claim_goes_with_the_writer(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watching(Small):
        def encode(self, texts: Sequence[str]) -> torch.Tensor:
            [claim] = (store.folder / "writers").glob("*.claim")
            seen.append(claim.stat().st_size // 32 - 1)
            return super().encode(texts)

    store = open_store(tmp_path)
    embed([f"text {i}" for i in range(7)], Watching(), store)
    assert seen == [2, 2, 2, 1]
    assert not list((store.folder / "writers").glob("*.claim"))


def test_a_writer_that_waits_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = open_store(tmp_path), open_store(tmp_path)
    texts = [f"text {i:03}" for i in range(100)]
    with other.writer() as writer:
        other.claim(writer, texts, lambda free: free)
        rests = 0

        def rest(seconds: float) -> None:
            nonlocal rests
            rests += 1
            if rests == 50:
                other.add(texts, rows_of(texts))
                writer.release()

        monkeypatch.setattr("core_engine.teaching.embed.time.sleep", rest)
        claims = 0
        claim = EmbeddingStore.claim

        def counting(*arguments: object) -> object:
            nonlocal claims
            claims += 1
            return claim(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(EmbeddingStore, "claim", counting)
        teacher = Small()
        assert torch.equal(embed(texts, teacher, store), rows_of(texts))
    assert teacher.calls == []
    assert claims <= 2 * rests


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (np.ones((3, 4), dtype=np.float32), "must return a torch tensor, not ndarray"),
        (torch.ones(3, 4).double(), r"returned float64 \[3, 4\] on cpu; expected float32 \[3, 4\] on cpu"),
        (torch.ones(2, 4), r"returned float32 \[2, 4\]"),
        (torch.ones(3, 5), r"returned float32 \[3, 5\]"),
        (torch.ones(12), r"returned float32 \[12\]"),
        (torch.ones(3, 4, device="meta"), "on meta"),
        (torch.tensor([[1.0] * 4, [1, 1, float("nan"), 1], [1.0] * 4]), r"of 'b' is not finite \(1 such of 3\)"),
        (torch.tensor([[1.0] * 4, [1.0] * 4, [1, 1, float("-inf"), 1]]), "of 'c' is not finite"),
        (torch.tensor([[0.0] * 4, [1.0, -1, 0, 0], [0.0] * 4]), r"of 'a' is all zeros \(2 such of 3\)"),
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


class Streaming(CountingTeacher):
    """Gives rows back in pieces, the last texts first."""

    answers: Sequence[Sequence[int]] = ([3, 2], [0], [1])

    def stream(self, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], torch.Tensor]]:
        for numbers in self.answers:
            yield numbers, rows_of([texts[number] for number in numbers])


@pytest.mark.parametrize("with_store", [True, False])
def test_a_teacher_may_give_rows_as_they_are_done(tmp_path: Path, with_store: bool) -> None:
    texts = ["a", "bb", "ccc", "dddd"]
    teacher = Streaming()
    assert torch.equal(embed(texts, teacher, open_store(tmp_path) if with_store else None), rows_of(texts))
    assert teacher.calls == []


@pytest.mark.parametrize(
    ("answers", "told"),
    [(([0], [1, 2]), "no row for 'a'"), (([0, 0],), "a text twice"), (([0], [0]), "a text twice"), (([4],), "not")],
)
def test_a_stream_that_is_wrong_is_an_error_and_what_came_before_is_kept(
    tmp_path: Path, answers: Sequence[Sequence[int]], told: str
) -> None:
    class Wrong(Streaming):
        def stream(self, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], torch.Tensor]]:
            for numbers in answers:
                yield numbers, rows_of([texts[number % 4] for number in numbers])

    with pytest.raises(TeacherError, match=told):
        embed(["a", "bb", "ccc", "dddd"], Wrong(), open_store(tmp_path))
    assert open_store(tmp_path).missing(["dddd"]) == ([] if answers[0] == [0] else ["dddd"])
