"""Endpoints that refuse, break, or keep silent."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from email.utils import formatdate
from typing import Any

import pytest
import torch
from core_engine_remote import OpenAI, endpoint
from core_engine_remote.failures import seconds_to_wait
from core_engine_remote.teacher import RemoteTeacher
from core_engine_remote.usage import Usage
from embeddings_server import DIM, Endpoint, Reply, Request, answer, data_for, embeds, fails, first, vector

from core_engine.errors import TeacherError

Build = Callable[..., RemoteTeacher]


class Waits(threading.Event):
    """Instead of waiting, notes how long it should have been."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        return False


def direct(server: Endpoint, **options: Any) -> endpoint.Endpoint:
    config = OpenAI(**{"model": "some-model", "dim": DIM, **options})
    return endpoint.Endpoint(config, server.base_url, Usage())


def expect(*parts: str) -> Any:
    """The error that tells all ``parts``, in this order, on one line."""
    return pytest.raises(TeacherError, match="^.*" + ".*".join(re.escape(part) for part in parts) + ".*$")


def assert_works(teacher: RemoteTeacher) -> None:
    assert torch.equal(teacher.encode(["a", "b"]), torch.tensor([vector("a"), vector("b")]))


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_tried_again(server: Endpoint, teacher: Build, status: int) -> None:
    server.script = first([fails(status)] * 6)
    asked = teacher()
    assert_works(asked)
    assert asked.usage == {"tokens": 2, "requests": 7, "retries": 6}
    assert len(server.requests) == 7


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (400, "lower batch_size"),
        (401, "set the environment variable OPENAI_API_KEY"),
        (403, "may use model 'some-model'"),
        (404, "check base_url, which usually ends in /v1, and model 'some-model'"),
        (405, "check base_url"),
        (413, "lower batch_size"),
        (422, "data.filters.max_chars"),
    ],
)
def test_what_will_not_pass_is_told_at_once(server: Endpoint, teacher: Build, status: int, remedy: str) -> None:
    server.script = lambda request: fails(status, "its own words")
    with expect(f"{server.base_url}/embeddings: status {status}: its own words; ", remedy):
        teacher().encode(["a"])
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "remedy"), [(429, "requests_per_minute"), (503, "try again later")])
def test_after_the_last_attempt_the_remedy_is_told(server: Endpoint, teacher: Build, status: int, remedy: str) -> None:
    server.script = lambda request: fails(status, "busy")
    with expect(f"status {status}: busy (3 attempts); ", remedy):
        teacher(retries=2).encode(["a"])
    assert len(server.requests) == 3


def test_no_retries_at_all(server: Endpoint, teacher: Build) -> None:
    server.script = first([fails(500, "oops")])
    with expect("status 500: oops; "):
        teacher(retries=0).encode(["a"])


def test_a_quota_that_is_used_up_is_not_waited_for(server: Endpoint, teacher: Build) -> None:
    body = b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}'
    server.script = lambda request: Reply(429, body)
    with expect("status 429: You exceeded your quota; ", "billing"):
        teacher().encode(["a"])
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"error": "in a string"}', "status 400: in a string;"),
        (b'{"message": "at the top"}', "status 400: at the top;"),
        (b'{"detail": [{"msg": "field required"}]}', 'status 400: [{"msg": "field required"}];'),
        (b'{"error": {"code": 3}}', 'status 400: {"code": 3};'),
        (b"<html>two\n  lines\x1b[31m</html>", "status 400: <html>two lines?[31m</html>;"),
        (b"\xff\xfe", "status 400: \ufffd\ufffd;"),
        (b"[" * 100_000, "status 400: " + "[" * 200 + "...;"),
        (b"", "status 400;"),
    ],
)
def test_the_endpoints_own_message_in_any_form(server: Endpoint, teacher: Build, content: bytes, told: str) -> None:
    server.script = lambda request: Reply(400, content)
    with expect(told):
        teacher().encode(["a"])


def test_silence_is_not_waited_for(server: Endpoint, teacher: Build) -> None:
    def slow(request: Request) -> Reply:
        time.sleep(0.4 if request.number < 2 else 0)
        return embeds(request)

    server.script = slow
    with expect("no answer within 0.1 s (ReadTimeout) (2 attempts); ", "raise timeout"):
        teacher(timeout=0.1, retries=1).encode(["a", "b"])
    server.requests.clear()
    assert_works(teacher(timeout=0.1))


@pytest.mark.parametrize("broken", [Reply(content=None), Reply(content=b"{}", headers={"Content-Length": "1000"})])
def test_broken_connections_are_tried_again(server: Endpoint, teacher: Build, broken: Reply) -> None:
    broken.headers["Connection"] = "close"
    server.script = first([broken, broken])
    asked = teacher(timeout=1)
    assert_works(asked)
    assert asked.usage["retries"] == 2


def test_nobody_there(teacher: Build) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with expect(f"http://127.0.0.1:{port}/v1/embeddings: no answer (ConnectError: ", "(3 attempts); check base_url"):
        teacher(base_url=f"http://127.0.0.1:{port}/v1", retries=2).encode(["a"])


def test_redirects_are_not_followed(server: Endpoint, teacher: Build) -> None:
    server.script = lambda request: Reply(307, b"", {"Location": f"{server.base_url}/elsewhere"})
    with expect(f"status 307: redirected to {server.base_url}/elsewhere, which is not followed", "set base_url"):
        teacher().encode(["a"])
    assert len(server.requests) == 1


def test_an_answer_whose_compression_is_broken(server: Endpoint, teacher: Build) -> None:
    server.script = lambda request: Reply(content=b"no gzip", headers={"Content-Encoding": "gzip"})
    with expect("malformed answer: its compression is broken"):
        teacher().encode(["a"])


def test_a_proxy_that_cannot_be_used(teacher: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks9://localhost:1")
    with expect("no HTTP client can be set up", "HTTP_PROXY"):
        teacher().encode(["a"])


def test_what_the_endpoint_asks_to_wait_is_waited(server: Endpoint) -> None:
    asks = ["17", "0", "soon", formatdate(time.time() + 60, usegmt=True), "300"]
    server.script = first([fails(429, Retry_After=each) for each in asks])
    waits = Waits()
    with closing(direct(server)) as asked:
        asked.embed(["a"], waits)
    assert waits.seconds[0] == 17
    assert max(waits.seconds[1:3]) <= endpoint.LONGEST_DELAY
    assert 50 < waits.seconds[3] <= 60
    assert waits.seconds[4:] == [300]
    assert len(server.requests) == 6


def test_too_long_a_wait_is_refused(server: Endpoint, teacher: Build) -> None:
    server.script = lambda request: fails(429, "tomorrow", Retry_After="86400")
    with expect("status 429: tomorrow; it asks to wait 86400 s, longer than the 300 s", "run again later"):
        teacher().encode(["a"])
    assert len(server.requests) == 1


def test_the_header_retry_after() -> None:
    assert seconds_to_wait(None) == 0
    assert seconds_to_wait("17") == 17
    for useless in ("soon", "-5", "", "1.5.2", "Thu, 99 Foo 2020 00:00:00 GMT"):
        assert seconds_to_wait(useless) == 0
    assert seconds_to_wait("Sun, 06 Nov 1994 08:49:37 GMT") == 0
    now = time.time()
    assert 98 <= seconds_to_wait(formatdate(now + 100, usegmt=True)) <= 100
    assert 98 <= seconds_to_wait(time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(now + 100))) <= 100


def test_delays_grow_at_random_up_to_a_bound(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.5)
    monkeypatch.setattr(endpoint, "LONGEST_DELAY", 30.0)
    server.script = lambda request: fails(500)
    drawn = []
    with closing(direct(server, retries=9)) as asked:
        for _ in range(40):
            waits = Waits()
            with expect("status 500"):
                asked.embed(["a"], waits)
            drawn.append(waits.seconds)
    for attempt, bound in [(0, 0.5), (1, 1), (3, 4), (6, 30), (8, 30)]:
        column = [waits[attempt] for waits in drawn]
        assert 0 <= min(column) < 0.3 * bound
        assert 0.7 * bound < max(column) <= bound


NOT_NUMBERS = [["1", 2, 3, 4], [None, 2, 3, 4], [True, 2, 3, 4], [[1], 2, 3, 4]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data[:1], "1 embeddings for 2 texts"),
        (lambda data: [*data, data[0]], "3 embeddings for 2 texts"),
        (lambda data: [data[0], data[0]], "data[1]: index 0 stands there twice"),
        (lambda data: [data[0], {"embedding": data[1]["embedding"]}], "data[1]: index is None, not one of 0 to 1"),
        (lambda data: [data[0], {**data[1], "index": 2}], "data[1]: index is 2, not"),
        (lambda data: [data[0], {**data[1], "index": -1}], "data[1]: index is -1, not"),
        (lambda data: [data[0], {**data[1], "index": True}], "data[1]: index is True, not"),
        (lambda data: [data[0], {**data[1], "index": 1.0}], "data[1]: index is 1.0, not"),
        (lambda data: [data[0], [1, 2]], "data[1] is not an object"),
        (lambda data: [data[0], {"index": 1}], "data[1]: the embedding is not a list of numbers, but NoneType"),
        (lambda data: [data[0], {"index": 1, "embedding": "AACAPw=="}], "is a string, though encoding_format 'float'"),
        (lambda data: [data[0], {"index": 1, "embedding": [1, 2, 3]}], "has 3 dimensions, and dim is 4; set dim: 3"),
        (lambda data: [data[0], {"index": 1, "embedding": []}], "has 0 dimensions"),
        (lambda data: [data[0], {"index": 1, "embedding": [1e39, 0, 0, 1]}], "index 1 holds a number that is not fin"),
        (lambda data: [data[0], {"index": 1, "embedding": [10**400, 0, 0, 1]}], "a number is too large"),
        (lambda data: [data[0], {"index": 1, "embedding": [float("nan"), 0, 0, 1]}], "NaN stands where a finite"),
        (lambda data: [data[0], {"index": 1, "embedding": [-float("inf"), 0, 0, 1]}], "-Infinity stands where"),
        *[
            (lambda data, row=row: [data[0], {"index": 1, "embedding": row}], "holds values that are not numbers")
            for row in NOT_NUMBERS
        ],
        (lambda data: {"0": data[0]}, "no list 'data' in "),
    ],
)
@pytest.mark.parametrize("normalize", [True, False])
def test_malformed_data(
    server: Endpoint, teacher: Build, change: Callable[[Any], Any], told: str, normalize: bool
) -> None:
    server.script = lambda request: answer(change(data_for(request.texts)))
    with expect(f"{server.base_url}/embeddings: malformed answer: ", told, "(model 'some-model')"):
        teacher(normalize=normalize).encode(["a", "b"])
    assert len(server.requests) == 1, "such an answer is not asked for again"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not JSON"),
        (b"<html>Welcome</html>", "not JSON (JSONDecodeError); it begins '<html>Welcome</html>'; check base_url"),
        (b"[" * 100_000, "not JSON (RecursionError)"),
        (b"\xff\xff", "not JSON"),
        (b"null", "no list 'data' in null"),
        (b'{"error": {"message": "no such model"}}', 'no list \'data\' in {"error": {"message": "no such model"}}'),
        (b'{"data": [{"index": 0, "embedding": [1e999, 0, 0, 1]}]}', "not finite"),
    ],
)
def test_malformed_bodies(server: Endpoint, teacher: Build, content: bytes, told: str) -> None:
    server.script = lambda request: Reply(content=content)
    with expect("malformed answer: ", told):
        teacher().encode(["a"])
