"""A small server that answers like the Hugging Face hub, on this machine, from folders."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


class _Handler(BaseHTTPRequestHandler):
    """``/api/models/OWNER/NAME[/revision/R]``, ``/api/models/OWNER/NAME/tree/R`` and ``/OWNER/NAME/resolve/R/FILE``."""

    models: dict[str, Path]

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        parts = parts[2:] if api else parts
        name, rest = "/".join(parts[:2]), parts[2:]
        if name not in self.models:
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
        elif rest and rest[1] not in {"main", COMMIT}:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
        elif api and rest[:1] in ([], ["revision"]):
            files = [{"rfilename": path} for path in _files(self.models[name])]
            self._send(200, json.dumps({"id": name, "sha": COMMIT, "siblings": files}).encode(), {}, body)
        elif api and rest[:1] == ["tree"]:
            tree = [
                {
                    "type": "file",
                    "path": path,
                    "size": file.stat().st_size,
                    "oid": hashlib.sha1(file.read_bytes()).hexdigest(),
                }
                for path, file in _files(self.models[name]).items()
            ]
            self._send(200, json.dumps(tree).encode(), {}, body)
        elif rest[:1] == ["resolve"] and "gated" in name:
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"}, body)
        elif rest[:1] == ["resolve"] and "/".join(rest[2:]) in _files(self.models[name]):
            content = _files(self.models[name])["/".join(rest[2:])].read_bytes()
            self._send(
                200, content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}, body
            )
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


def _files(folder: Path) -> dict[str, Path]:
    return {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}


@contextmanager
def hub_of(models: dict[str, Path]) -> Iterator[str]:
    """The address of a hub that holds ``models``, by id; those with 'gated' in their id refuse their files."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"models": models}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
