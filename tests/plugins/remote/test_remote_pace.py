"""Rate limits, by a clock of the test's own and by a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from attrs import define
from core_engine_remote import OpenAI, endpoint
from core_engine_remote.pace import Pace
from core_engine_remote.teacher import RemoteTeacher
from core_engine_remote.usage import Usage
from embeddings_server import DIM, Reply, Request, answer, data_for, embeds, fails, first
from embeddings_server import Endpoint as EmbeddingsServer
from hypothesis import given
from hypothesis import strategies as st

Build = Callable[..., RemoteTeacher]


@define
class Clock:
    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


class Waiting(threading.Event):
    """Waiting moves the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.clock.seconds += timeout
        return False


def test_units_are_spread_over_the_minute() -> None:
    clock = Clock()
    pace = Pace(60, clock)
    assert [pace.reserve(1) for _ in range(3)] == [0, 1, 2]
    assert [pace.reserve(10), pace.reserve(1)] == [3, 13]
    clock.seconds += 10
    assert pace.reserve(1) == 4
    clock.seconds += 1000  # idle time is not saved up
    assert [pace.reserve(1), pace.reserve(1)] == [0, 1]


def test_corrections_move_later_reservations() -> None:
    pace = Pace(60, Clock())
    assert pace.reserve(10) == 0
    pace.correct(5)
    assert pace.reserve(1) == 15
    pace.correct(-6)
    assert pace.reserve(1) == 10
    pace.correct(-1000)
    assert pace.reserve(1) == 0


@given(
    per_minute=st.integers(1, 100),
    events=st.lists(st.tuples(st.floats(0, 90), st.integers(1, 40)), min_size=1, max_size=60),
)
def test_no_minute_holds_more_than_the_limit_and_one_reservation(
    per_minute: int, events: list[tuple[float, int]]
) -> None:
    clock = Clock()
    pace = Pace(per_minute, clock)
    starts = []
    for pause, units in events:
        clock.seconds += pause
        starts.append((clock.seconds + pace.reserve(units), units))
    assert starts == sorted(starts, key=lambda start: start[0])
    for begin, _ in starts:
        inside = [units for at, units in starts if begin <= at < begin + 59.999]
        assert sum(inside[:-1]) <= per_minute


def sent_at(server: EmbeddingsServer, texts: list[list[str]], **limits: int) -> list[float]:
    """Seconds on the test's clock at which requests reach the server, one after the other, from 0."""
    clock = Clock()
    arrivals: list[float] = []
    script = server.script

    def noted(request: Request) -> Reply:
        arrivals.append(clock.seconds - 100)
        return script(request)

    server.script = noted
    options = OpenAI(model="m", dim=DIM, **limits)
    asked = endpoint.Endpoint(options, server.base_url, Usage(), now=clock)
    for batch in texts:
        asked.embed(batch, Waiting(clock))
    asked.close()
    return arrivals


def test_requests_keep_their_distance(server: EmbeddingsServer) -> None:
    assert sent_at(server, [["a"]] * 4, requests_per_minute=6) == [0, 10, 20, 30]


def test_repetitions_count_as_requests(server: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.0)
    server.script = first([fails(500)] * 2)
    assert sent_at(server, [["a"], ["b"]], requests_per_minute=6) == [0, 10, 20, 30]


@pytest.mark.parametrize(("counted", "at"), [(None, [0, 30, 60]), (1000, [0, 60, 120]), (100, [0, 6, 12])])
def test_tokens_are_estimated_and_then_counted(server: EmbeddingsServer, counted: int | None, at: list[float]) -> None:
    server.script = lambda request: answer(data_for(request.texts), usage={"total_tokens": counted})
    batch = ["a" * 996, "b" * 1000]  # 500 tokens by the estimate
    assert sent_at(server, [batch] * 3, tokens_per_minute=1000) == pytest.approx(at)


def test_the_stricter_limit_holds(server: EmbeddingsServer) -> None:
    assert sent_at(server, [["a"]] * 3, requests_per_minute=60, tokens_per_minute=6) == [0, 10, 20]
    server.script = embeds
    assert sent_at(server, [["a"]] * 3, requests_per_minute=6, tokens_per_minute=60) == [0, 10, 20]


def test_threads_share_the_limit(server: EmbeddingsServer, teacher: Build) -> None:
    started = time.monotonic()
    teacher(batch_size=1, concurrency=4, requests_per_minute=1200).encode(list("abcdef"))  # one in 50 ms
    arrivals = [request.at for request in server.requests]
    assert len(arrivals) == 6
    assert max(arrivals) - started >= 0.24
