"""What has been asked of an endpoint so far."""

from __future__ import annotations

import threading


class Usage:
    """Counts from any number of threads. ``requests`` are those sent, ``retries`` the ones among them that repeat."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {"tokens": 0, "requests": 0, "retries": 0}

    def add(self, tokens: int = 0, requests: int = 0, retries: int = 0) -> None:
        with self._lock:
            self._counts["tokens"] += tokens
            self._counts["requests"] += requests
            self._counts["retries"] += retries

    def snapshot(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)
