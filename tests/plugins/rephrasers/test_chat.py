"""The rephraser ``chat`` against a real HTTP server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core_engine_remote import endpoint
from core_engine_rephrasers import Chat
from core_engine_rephrasers.replies import filled, wordings
from embeddings_server import Endpoint, Reply, Request, fails, first, serving

from core_engine import RephraserContext
from core_engine.errors import DataError, EngineError, OutputError


def says(content: Any) -> Reply:
    return Reply(content=json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode())


def prompt_of(request: Request) -> str:
    return str(request.body["messages"][0]["content"])


def echoes(request: Request) -> Reply:
    """With the prompt ``{count}|{text}``: as many wordings as were asked for."""
    count, text = prompt_of(request).split("|")
    return says("\n".join(f"{i + 1}. {text}, in words {i + 1}" for i in range(int(count))))


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, address, proxy or answers of the user's, and delays of milliseconds."""
    monkeypatch.setenv("CORE_ENGINE_CACHE", str(tmp_path / "cache"))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.002)
    monkeypatch.setattr(endpoint, "LONGEST_DELAY", 0.01)


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with serving(echoes) as found:
        yield found


def rephrased(server: Endpoint, texts: list[str], count: int = 2, seed: int = 0, **options: Any) -> list[list[str]]:
    defaults = {"model": "some-model", "base_url": server.base_url, "prompt": "{count}|{text}"}
    return Chat(**{**defaults, **options}).build(RephraserContext("cpu", seed)).rephrase(texts, count)


def test_wordings_of_each_text_in_the_order_of_the_texts(server: Endpoint) -> None:
    texts = [f"text {i}" for i in range(9)]
    found = rephrased(server, texts, count=3, concurrency=3)
    assert found == [[f"{text}, in words {i}" for i in (1, 2, 3)] for text in texts]
    assert sorted(prompt_of(request) for request in server.requests) == sorted(f"3|{text}" for text in texts)


def test_what_is_sent(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret-1")
    rephrased(server, ["a ü"], api_key_env="MY_KEY", temperature=0.5, seed=7)
    rephrased(server, ["a ü"])
    ours, other = server.requests
    assert ours.body == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "2|a ü"}],
        "temperature": 0.5,
        "seed": 7,
    }
    assert ours.path == "/v1/chat/completions"
    assert ours.headers["Authorization"] == "Bearer secret-1"
    assert "Authorization" not in other.headers


def test_the_default_prompt_holds_text_and_count(server: Endpoint) -> None:
    server.script = lambda request: says("x")
    Chat(model="m", base_url=server.base_url).build(RephraserContext("cpu", 0)).rephrase(["Why {count}?"], 5)
    (request,) = server.requests
    assert prompt_of(request).endswith("\n\nWhy {count}?")
    assert "in 5 different ways" in prompt_of(request)


def test_the_address_may_come_from_the_environment(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    assert rephrased(server, ["a"], 1, base_url=None) == [["a, in words 1"]]


def test_no_texts_and_no_request(server: Endpoint) -> None:
    assert rephrased(server, []) == []
    assert server.requests == []


def test_what_was_answered_once_is_not_asked_again(server: Endpoint) -> None:
    numbers = iter(range(100))
    server.script = lambda request: says(f"{prompt_of(request)} {next(numbers)}")
    found = rephrased(server, ["a", "b"], 1, concurrency=1)
    assert rephrased(server, ["b", "c", "a"], 1, concurrency=1) == [found[1], ["1|c 2"], found[0]]
    assert len(server.requests) == 3
    for other in ({"temperature": 0.1}, {"seed": 1}, {"model": "other"}, {"count": 2}, {"prompt": "{count}|{text}!"}):
        assert rephrased(server, ["a"], **{"count": 1, **other}) != [found[0]]
    assert len(server.requests) == 8


def test_a_failure_loses_no_answer_and_keeps_none(server: Endpoint) -> None:
    server.script = lambda request: echoes(request) if request.number == 0 else fails(400)
    with pytest.raises(DataError):
        rephrased(server, ["a", "b"], 1, concurrency=1)
    server.script = echoes
    assert rephrased(server, ["a", "b"], 1) == [["a, in words 1"], ["b, in words 1"]]
    assert [prompt_of(request) for request in server.requests] == ["1|a", "1|b", "1|b"]


def test_a_damaged_answer_is_asked_for_again(server: Endpoint, tmp_path: Path) -> None:
    rephrased(server, ["a"], 1)
    (file,) = (tmp_path / "cache" / "rephrasings").iterdir()
    file.write_text('"a, in wo')
    assert rephrased(server, ["a"], 1) == [["a, in words 1"]]
    assert len(server.requests) == 2


def test_a_cache_that_cannot_be_written_is_told(server: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OutputError, match="set CORE_ENGINE_CACHE to another folder"):
        rephrased(server, ["a"], 1)


def test_requests_overlap_and_are_no_more_than_asked_for(server: Endpoint) -> None:
    together = threading.Barrier(3, timeout=5)

    def only_together(request: Request) -> Reply:
        together.wait()  # broken, and so no answer, unless three requests are here at once
        return echoes(request)

    server.script = only_together
    rephrased(server, [f"text {i}" for i in range(6)], concurrency=3, retries=0)
    assert server.most == 3


@pytest.mark.parametrize("passing", [fails(500), fails(429, Retry_After="0"), Reply(content=None)])
def test_a_failure_that_may_pass_is_repeated(server: Endpoint, passing: Reply) -> None:
    server.script = first([passing, passing], then=echoes)
    assert rephrased(server, ["a"], 1) == [["a, in words 1"]]
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (fails(400, "no such thing"), r"status 400: no such thing; check model, temperature and the length"),
        (
            fails(401, "who are you"),
            r"status 401: who are you; set the environment variable OPENAI_API_KEY to your key",
        ),
        (fails(404, "not here"), r"status 404: not here; check base_url, which usually ends in /v1, and model 'some-"),
        (fails(429, "later", Retry_After="4000"), r"status 429: later; lower concurrency, or run again later"),
        (Reply(content=b"<html>"), r"no choices\[0\].message.content in '<html>'; check base_url"),
        (Reply(content=b'{"choices": []}'), r"no choices\[0\].message.content in .*; check base_url"),
        (says(None), r"the message is no text; use a model that writes text"),
    ],
)
def test_a_failure_for_good_is_told_once(server: Endpoint, reply: Reply, message: str) -> None:
    server.script = lambda request: reply
    with pytest.raises(DataError, match=message) as error:
        rephrased(server, ["a"])
    assert str(error.value).startswith(f"{server.base_url}/chat/completions: ")
    assert len(server.requests) == 1


def test_repetition_ends(server: Endpoint) -> None:
    server.script = lambda request: fails(503, "busy")
    with pytest.raises(DataError, match=r"status 503: busy \(3 attempts\); check that the endpoint is well"):
        rephrased(server, ["a"], retries=2)
    assert len(server.requests) == 3


def test_silence_is_a_failure(server: Endpoint) -> None:
    release = threading.Event()

    def silent(request: Request) -> Reply:
        release.wait(5)
        return echoes(request)

    server.script = silent
    with pytest.raises(DataError, match=r"no answer within 0.1 s .*; check that the endpoint is up, or raise timeout"):
        rephrased(server, ["a"], timeout=0.1, retries=0)
    release.set()


def test_no_message_holds_the_key(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    server.script = lambda request: Reply(content=b"your key is sk-0123456789")
    with pytest.raises(DataError) as error:
        rephrased(server, ["a"])
    assert "sk-0" not in str(error.value)
    assert "[key]" in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "nonsense"}, "not an address"),
        ({"api_key_env": "sk-012345"}, "must be the NAME of an environment variable"),
        ({"prompt": "Rephrase {text}"}, r"'prompt' must hold \{count\}"),
        ({"prompt": "Rephrase"}, r"\{count\} and \{text\}"),
        ({"model": ""}, "model"),
        ({"temperature": -1}, "temperature"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Chat(**{"model": "m", **options})
    assert "sk-0" not in str(error.value)


def test_a_wrong_address_in_the_environment_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "nonsense")
    assert [option for option, _ in Chat(model="m").check()] == ["base_url"]
    with pytest.raises(EngineError, match="OPENAI_BASE_URL"):
        Chat(model="m").build(RephraserContext("cpu", 0))


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("1. One?\n2) Two?\n(3) Three?", ["One?", "Two?", "Three?"]),
        ("Here are three:\n\n- One?\n* Two?\n• Three?\n", ["One?", "Two?", "Three?"]),
        ("\"One?\"\n“Two?”\n'Why'?", ["One?", "Two?", "'Why'?"]),
        ("One?\nOne?\nthe text\nTwo?", ["One?", "Two?"]),
        ("3.5 is what?\n2024: what was it?\nOne?\nTwo?", ["3.5 is what?", "2024: what was it?", "One?"]),
        ("", []),
    ],
)
def test_lines_of_a_reply_are_read(reply: str, found: list[str]) -> None:
    assert wordings(reply, "the text", 3) == found


def test_braces_of_a_text_are_left_alone() -> None:
    assert filled("{count} of {text} {other}", "{count} {x}", 3) == "3 of {count} {x} {other}"
