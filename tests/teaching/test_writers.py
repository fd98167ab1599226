"""Several processes fill one store, and some are killed."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from counting_teacher import CountingTeacher, rows_of
from structlog.testing import capture_logs
from torch import Tensor

from core_engine.store.store import EmbeddingStore
from core_engine.teaching.embed import embed

BATCH = 16

#: Processes that have imported everything before they start: a test starts dozens.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["counting_teacher", "core_engine.teaching.embed"])


class Telling(CountingTeacher):
    """Takes its time, and writes down what it encodes before it gives the rows away."""

    chars_per_call = 16 * BATCH

    def __init__(self, told: Path, seconds: float) -> None:
        super().__init__()
        self._told, self._seconds = told, seconds

    def encode(self, texts: Sequence[str]) -> Tensor:
        time.sleep(self._seconds)
        with self._told.open("a") as told:
            told.write("".join(f"{text}\n" for text in texts))
        return rows_of(texts)


def encode_all(root: str, told: str, texts: list[str], seconds: float) -> None:
    rows = embed(texts, Telling(Path(told), seconds), EmbeddingStore(Path(root), "counting", 4))
    assert torch.equal(rows, rows_of(texts))


def start(tmp_path: Path, name: str, texts: list[str], seconds: float) -> BaseProcess:
    process = processes.Process(target=encode_all, args=(str(tmp_path / "root"), str(tmp_path / name), texts, seconds))
    process.start()
    return process


def told(*paths: Path) -> Counter[str]:
    return Counter(line for path in paths if path.exists() for line in path.read_text().splitlines())


def test_50_kills_cost_at_most_a_batch_each(tmp_path: Path) -> None:
    texts = [f"text {i:05}" for i in range(2000)]
    rng = random.Random(0)
    kills = 0
    for round_ in range(50):
        folder = tmp_path / str(round_)
        folder.mkdir()
        killed = encode_with_kills(folder, texts, rng)
        times = told(folder / "told")
        assert set(times) == set(texts)
        assert sum(times.values()) - len(texts) <= killed * BATCH
        kills += killed
        if kills >= 50:
            return
    raise AssertionError(f"only {kills} kills: give it more texts")


def encode_with_kills(folder: Path, texts: list[str], rng: random.Random) -> int:
    """Kills the encoding at random moments until one comes to its end; how often that was."""
    log, kills = folder / "told", 0
    while True:
        before = log.stat().st_size if log.exists() else 0
        process = start(folder, "told", texts, 0.001)
        while process.is_alive() and (not log.exists() or log.stat().st_size == before):
            time.sleep(0.001)
        process.join(timeout=rng.uniform(0, 0.06))
        process.kill()
        process.join()
        with capture_logs() as logs:
            store = EmbeddingStore(folder / "root", "counting", 4)
        assert logs == []  # no torn segment
        missing = set(store.missing(texts))
        stored = [text for text in texts if text not in missing]
        assert torch.equal(store.get(stored), rows_of(stored))
        if process.exitcode == 0:
            assert not missing
            return kills
        assert process.exitcode == -9
        kills += 1


def test_two_writers_share_the_work(tmp_path: Path) -> None:
    texts = [f"text {i:05}" for i in range(1000)]
    # One asks in another order, and for a few texts more.
    writers = [start(tmp_path, "one", texts, 0.01), start(tmp_path, "other", [*texts[::-1], "an extra text"], 0.01)]
    for writer in writers:
        writer.join(timeout=120)
    assert [writer.exitcode for writer in writers] == [0, 0]
    times = told(tmp_path / "one", tmp_path / "other")
    assert set(times) == {*texts, "an extra text"}
    assert set(times.values()) == {1}
    both = [sum(told(tmp_path / name).values()) for name in ("one", "other")]
    assert min(both) > 200, "they took turns"


def test_a_killed_writers_batch_is_taken_over_at_once(tmp_path: Path) -> None:
    texts = [f"text {i:05}" for i in range(4 * BATCH)]
    stuck = start(tmp_path, "stuck", texts, 3600)
    claims = tmp_path / "root"
    while not list(claims.rglob("*.claim")):
        time.sleep(0.01)
    other = start(tmp_path, "other", texts, 0)
    other.join(timeout=2)
    assert other.is_alive()  # waits for the batch that the first has claimed
    assert sum(told(tmp_path / "other").values()) == 3 * BATCH
    stuck.kill()
    stuck.join()
    other.join(timeout=60)
    assert other.exitcode == 0
    assert sum(told(tmp_path / "other").values()) == 4 * BATCH
