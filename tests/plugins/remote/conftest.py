"""A server of the test's own, teachers that are closed in the end, and no waiting between repetitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from core_engine_remote import OpenAI, endpoint
from core_engine_remote.teacher import RemoteTeacher
from embeddings_server import DIM, Endpoint, serving

from core_engine import TeacherContext

Build = Callable[..., RemoteTeacher]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, address or proxy of the user's, and delays of milliseconds."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.002)
    monkeypatch.setattr(endpoint, "LONGEST_DELAY", 0.01)


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with serving() as found:
        yield found


@pytest.fixture
def teacher(server: Endpoint) -> Iterator[Build]:
    """``teacher(option=value, ...)`` asks ``server``."""
    built: list[RemoteTeacher] = []

    def build(**options: Any) -> RemoteTeacher:
        defaults = {"model": "some-model", "dim": DIM, "base_url": server.base_url, "normalize": False}
        built.append(OpenAI(**{**defaults, **options}).build(TeacherContext(device="cpu")))
        return built[-1]

    yield build
    for each in built:
        each.close()
