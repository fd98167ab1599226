"""The teacher ``openai`` against a healthy endpoint."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from core_engine_remote.teacher import RemoteTeacher
from embeddings_server import Endpoint, Reply, Request, answer, data_for, embeds, fails, vector
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core_engine import Teacher, embed
from core_engine.errors import TeacherError

Build = Callable[..., RemoteTeacher]
TEXTS = [f"text {i}" for i in range(23)]


def expected(texts: list[str]) -> torch.Tensor:
    return torch.tensor([vector(text) for text in texts])


def test_rows_are_the_endpoints_in_the_order_of_the_texts(server: Endpoint, teacher: Build) -> None:
    def slower_first(request: Request) -> Reply:
        time.sleep(0.05 if request.number == 0 else 0)
        return embeds(request)

    server.script = slower_first
    rows = teacher(batch_size=5, concurrency=3).encode(TEXTS)
    assert rows.dtype == torch.float32
    assert rows.device.type == "cpu"
    assert torch.equal(rows, expected(TEXTS))
    batches = sorted((request.texts for request in server.requests), key=lambda texts: TEXTS.index(texts[0]))
    assert batches == [TEXTS[0:5], TEXTS[5:10], TEXTS[10:15], TEXTS[15:20], TEXTS[20:23]]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)))
def test_any_order_of_data_is_put_right_by_index(server: Endpoint, teacher: Build, order: list[int]) -> None:
    server.script = lambda request: answer([data_for(request.texts)[i] for i in order])
    asked = teacher()
    try:
        assert torch.equal(asked.encode(TEXTS[:6]), expected(TEXTS[:6]))
    finally:
        asked.close()


def test_what_is_sent(server: Endpoint, teacher: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-1")
    plain = {"model": "some-model", "input": ["a ü"], "encoding_format": "float"}
    teacher().encode(["a ü"])
    teacher(send_dimensions=True, prompt="query: ").encode(["a ü"])
    monkeypatch.delenv("OPENAI_API_KEY")
    teacher().encode(["a ü"])
    monkeypatch.setenv("MY_KEY", "secret-2")
    teacher(key_env="MY_KEY", base_url=server.base_url + "/").encode(["a ü"])
    assert [request.body for request in server.requests] == [
        plain,
        {**plain, "input": ["query: a ü"], "dimensions": 4},
        plain,
        plain,
    ]
    keys = ["Bearer secret-1", "Bearer secret-1", None, "Bearer secret-2"]
    assert [request.headers.get("Authorization") for request in server.requests] == keys
    assert {request.path for request in server.requests} == {"/v1/embeddings"}


def test_unit_length_unless_it_is_not_wanted(teacher: Build) -> None:
    rows = teacher(normalize=True).encode(TEXTS)
    torch.testing.assert_close(rows, torch.nn.functional.normalize(expected(TEXTS)))
    assert torch.equal(teacher(normalize=False).encode(TEXTS), expected(TEXTS))


def test_no_texts_and_no_string(server: Endpoint, teacher: Build) -> None:
    assert teacher().encode([]).shape == (0, 4)
    with pytest.raises(TypeError, match="sequence of texts"):
        teacher().encode("text")
    with pytest.raises(TeacherError, match=r"'a\\ud800' is not valid Unicode"):
        teacher().encode(["fine", "a\ud800"])
    assert server.requests == []


def test_requests_overlap_and_are_no_more_than_asked_for(server: Endpoint, teacher: Build) -> None:
    together = threading.Barrier(3, timeout=5)

    def only_together(request: Request) -> Reply:
        together.wait()  # broken, and so no answer, unless three requests are here at once
        return embeds(request)

    server.script = only_together
    assert torch.equal(teacher(batch_size=2, concurrency=3, retries=0).encode(TEXTS[:12]), expected(TEXTS[:12]))
    assert server.most == 3


def test_one_at_a_time(server: Endpoint, teacher: Build) -> None:
    teacher(batch_size=1, concurrency=1).encode(TEXTS)
    assert server.most == 1
    assert [request.texts for request in server.requests] == [[text] for text in TEXTS]


def test_the_first_failure_for_good_cancels_the_rest(server: Endpoint, teacher: Build) -> None:
    release = threading.Event()

    def one_bad(request: Request) -> Reply:
        if request.number == 0:
            return fails(400, "no such input")
        release.wait(5)
        return embeds(request)

    server.script = one_bad
    started = time.monotonic()
    with pytest.raises(TeacherError, match="no such input"):
        teacher(batch_size=1, concurrency=2).encode(TEXTS)
    assert time.monotonic() - started < 4, "what is under way is not waited for"
    release.set()
    time.sleep(0.1)
    assert len(server.requests) <= 3


def test_waiting_requests_end_with_the_first_failure(server: Endpoint, teacher: Build) -> None:
    server.script = lambda request: fails(429, Retry_After="60") if request.texts == ["text 0"] else fails(400)
    asked = teacher(batch_size=1, concurrency=2)
    with pytest.raises(TeacherError, match="status 400"):
        asked.encode(TEXTS[:2])
    for thread in threading.enumerate():
        if thread.name == "core-engine-remote":
            thread.join(5)
            assert not thread.is_alive()
    assert asked.usage["requests"] == 2


def test_usage_adds_up(server: Endpoint, teacher: Build) -> None:
    asked = teacher(batch_size=10)
    assert asked.usage == {"tokens": 0, "requests": 0, "retries": 0}
    asked.encode(TEXTS)
    asked.encode(TEXTS[:1])
    assert asked.usage == {"tokens": sum(map(len, TEXTS)) + 6, "requests": 4, "retries": 0}


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [({"total_tokens": 7}, 7), ({"prompt_tokens": "7"}, 0), (None, 0), ([], 0), ({"prompt_tokens": -1}, 0)],
)
def test_usage_is_taken_where_it_is_given(server: Endpoint, teacher: Build, usage: object, tokens: int) -> None:
    server.script = lambda request: answer(data_for(request.texts), usage=usage)
    asked = teacher()
    asked.encode(["a"])
    assert asked.usage["tokens"] == tokens


def test_closing_ends_connections_and_not_the_teacher(server: Endpoint, teacher: Build) -> None:
    asked = teacher()
    asked.close()
    asked.encode(["a"])
    asked.close()
    asked.close()
    assert torch.equal(asked.encode(["b"]), expected(["b"]))


def test_through_the_engines_embedding(server: Endpoint, teacher: Build) -> None:
    texts = [random.Random(i).choice(TEXTS) for i in range(100)]
    asked = teacher(batch_size=4)
    assert isinstance(asked, Teacher)
    assert torch.equal(embed(texts, asked, store=None), expected(texts))
    sent = [text for request in server.requests for text in request.texts]
    assert sorted(sent) == sorted(set(texts))


def test_an_interrupt_does_not_wait_for_the_endpoint(server: Endpoint, tmp_path: Path) -> None:
    came, release = threading.Event(), threading.Event()

    def silent(request: Request) -> Reply:
        came.set()
        release.wait(30)
        return embeds(request)

    server.script = silent
    code = (
        "import sys; from core_engine_remote import OpenAI; from core_engine import TeacherContext\n"
        "teacher = OpenAI(model='m', dim=4, base_url=sys.argv[1], batch_size=1).build(TeacherContext(device='cpu'))\n"
        "teacher.encode(['a', 'b', 'c', 'd', 'e', 'f'])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, server.base_url]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert came.wait(60)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert time.monotonic() - started < 15
    finally:
        release.set()
        process.kill()
        process.wait()
    assert "KeyboardInterrupt" in errors.splitlines()[-1]
