"""The key goes into one header, and nowhere else."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable

import pytest
from core_engine_remote import OpenAI, endpoint
from core_engine_remote.teacher import RemoteTeacher
from embeddings_server import Endpoint, Reply, Request, answer, embeds, fails, first
from structlog.testing import capture_logs

from core_engine import TeacherContext
from core_engine.errors import TeacherError

Build = Callable[..., RemoteTeacher]
KEY = "sk-Q7vT-do.not/tell+" + "x" * 40


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def echo(status: int) -> Callable[[Request], Reply]:
    """An endpoint that says the key everywhere, also where its message is cut."""
    said = f"{'-' * 190}{KEY} {KEY}"
    return lambda request: fails(status, said, Location=f"http://x/{KEY}", Retry_After="0", X=KEY)


ECHOES: dict[str, Callable[[Request], Reply]] = {
    **{str(status): echo(status) for status in (400, 401, 403, 404, 422, 429, 500, 307)},
    "beginning": lambda request: fails(401, f"Incorrect API key provided: {KEY[:20]}..."),
    "text": lambda request: Reply(200, f"{'-' * 190}{KEY}".encode()),
    "object": lambda request: Reply(200, f'{{"you": "{KEY}"}}'.encode()),
    "index": lambda request: answer([{"index": KEY, "embedding": [1, 2, 3, 4]}]),
    "row": lambda request: answer([{"index": 0, "embedding": {"x": KEY}}]),
    "values": lambda request: answer([{"index": 0, "embedding": [KEY, 2, 3, 4]}]),
    "dropped": lambda request: Reply(content=None),
    "header": lambda request: Reply(200, b"x", {"Content-Encoding": "gzip", "X": KEY}),
}


@pytest.mark.parametrize("name", ECHOES)
def test_no_part_of_it_is_told(server: Endpoint, teacher: Build, caplog: pytest.LogCaptureFixture, name: str) -> None:
    server.script = first([fails(503, KEY)], then=ECHOES[name])
    asked = teacher(retries=1)
    with caplog.at_level(logging.INFO), capture_logs() as logs, pytest.raises(TeacherError) as error:
        asked.encode(["a"])
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    options = OpenAI(model="m", dim=4)
    told = [
        "".join(traceback.format_exception(error.value)),
        repr(logs),
        caplog.text,
        *map(repr, (asked, asked.usage, asked.description, asked.fingerprint, options, list(options.check()))),
        repr(vars(asked)),
    ]
    assert logs, "the repetition is logged"
    assert caplog.text, "the HTTP library logs"
    for text in told:
        assert KEY[:8] not in text


def test_the_http_librarys_finest_log_has_no_key(teacher: Build, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        teacher().encode(["a"])
    assert "send_request_headers" in caplog.text
    assert KEY[:8] not in caplog.text


def test_neither_options_nor_teacher_hold_it_before_it_is_used(teacher: Build) -> None:
    asked = teacher()
    assert KEY.encode() not in pickle.dumps(asked._options)
    assert KEY not in repr(vars(asked))


@pytest.mark.parametrize("bad", ["\n", " ", "\r", '"', "ü", "\x7f"])
def test_a_key_that_no_header_can_hold(
    server: Endpoint, teacher: Build, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY + bad)
    with pytest.raises(TeacherError, match=r"^environment variable OPENAI_API_KEY: holds characters") as error:
        teacher().encode(["a"])
    assert KEY[:8] not in "".join(traceback.format_exception(error.value))
    assert server.requests == []


def test_an_empty_key_is_none(server: Endpoint, teacher: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    server.script = lambda request: fails(401)
    with pytest.raises(TeacherError, match=r"set the environment variable OPENAI_API_KEY to your key$"):
        teacher().encode(["a"])
    assert "Authorization" not in server.requests[0].headers


def test_a_refused_key_is_told_by_its_name(server: Endpoint, teacher: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "x")
    server.script = lambda request: fails(401)
    with pytest.raises(TeacherError, match=r"set the environment variable MY_KEY to a key that is valid there$"):
        teacher(key_env="MY_KEY").encode(["a"])


@pytest.mark.parametrize(
    ("base_url", "warned"),
    [
        ("http://embeddings.example:8000/v1", True),
        ("http://192.0.2.1/v1", True),
        ("http://localhost.example/v1", True),
        ("https://embeddings.example/v1", False),
        ("http://localhost:8000/v1", False),
        ("http://my.localhost/v1", False),
        ("http://127.0.0.9/v1", False),
        ("http://[::1]:8000/v1", False),
    ],
)
def test_a_key_in_the_clear_is_warned_of_once(
    server: Endpoint, monkeypatch: pytest.MonkeyPatch, base_url: str, warned: bool
) -> None:
    # The test's server is the proxy, so that all of these addresses are there.
    monkeypatch.setenv("HTTP_PROXY", server.base_url.removesuffix("/v1"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.0)
    asked = OpenAI(model="m", dim=4, base_url=base_url, retries=0).build(TeacherContext(device="cpu"))
    with capture_logs() as logs:
        for _ in range(2):
            if base_url.startswith("https"):
                with pytest.raises(TeacherError):
                    asked.encode(["a"])
            else:
                asked.encode(["a"])
    asked.close()
    warnings = [log for log in logs if log["log_level"] == "warning"]
    assert len(warnings) == int(warned)
    assert all(log["base_url"] == base_url and log["key_env"] == "OPENAI_API_KEY" for log in warnings)


def test_no_key_is_nothing_to_warn_of(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.base_url.removesuffix("/v1"))
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.delenv("OPENAI_API_KEY")
    server.script = embeds
    asked = OpenAI(model="m", dim=4, base_url="http://embeddings.example/v1").build(TeacherContext(device="cpu"))
    with capture_logs() as logs:
        asked.encode(["a"])
    asked.close()
    assert logs == []
