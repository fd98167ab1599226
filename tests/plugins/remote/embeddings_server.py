"""A real HTTP server on this machine that speaks OpenAI's embeddings API, and does what a test tells it to."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import Factory, define, frozen

DIM = 4


@frozen
class Request:
    """``number`` counts from 0 in the order of arrival; ``at`` is time.monotonic()."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float

    @property
    def texts(self) -> list[str]:
        texts: list[str] = self.body["input"]
        return texts


@frozen
class Reply:
    """None as ``content``: the connection is closed without an answer."""

    status: int = 200
    content: bytes | None = b""
    headers: dict[str, str] = Factory(dict)


Script = Callable[[Request], Reply]


def vector(text: str, dim: int = DIM) -> list[float]:
    """Never all zeros, and far from unit length."""
    return [float(byte) + 1 for byte in hashlib.sha256(text.encode()).digest()[:dim]]


def data_for(texts: Sequence[str]) -> list[dict[str, Any]]:
    return [{"object": "embedding", "index": i, "embedding": vector(text)} for i, text in enumerate(texts)]


def answer(data: Any, **others: Any) -> Reply:
    return Reply(content=json.dumps({"object": "list", "data": data, **others}).encode())


def embeds(request: Request) -> Reply:
    """What a healthy endpoint does; it counts one token a character."""
    tokens = sum(map(len, request.texts))
    return answer(data_for(request.texts), usage={"prompt_tokens": tokens, "total_tokens": tokens})


def fails(status: int, message: str = "", **headers: str) -> Reply:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Reply(status, json.dumps({"error": {"message": message, "type": "x"}}).encode(), named)


def first(replies: Sequence[Reply], then: Script = embeds) -> Script:
    """One of ``replies`` to each of the first requests, ``then`` to all others."""
    return lambda request: replies[request.number] if request.number < len(replies) else then(request)


@define
class Endpoint:
    """``base_url`` is what a recipe names. ``most``: requests that were under way at one time, at most."""

    base_url: str
    script: Script = embeds
    requests: list[Request] = Factory(list)
    most: int = 0
    _current: int = 0
    _lock: Any = Factory(threading.Lock)

    def respond(self, path: str, headers: dict[str, str], content: bytes) -> Reply:
        with self._lock:
            request = Request(len(self.requests), path, headers, json.loads(content), time.monotonic())
            self.requests.append(request)
            self._current += 1
            self.most = max(self.most, self._current)
        try:
            return self.script(request)
        finally:
            with self._lock:
                self._current -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    endpoint: Endpoint

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        reply = self.endpoint.respond(self.path, dict(self.headers), content)
        if reply.content is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for key, value in {"Content-Length": str(len(reply.content)), **reply.headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(reply.content)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that went away are part of the tests."""


@contextmanager
def serving(script: Script = embeds) -> Iterator[Endpoint]:
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {}))
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/v1", script)
    server.RequestHandlerClass.endpoint = endpoint  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
