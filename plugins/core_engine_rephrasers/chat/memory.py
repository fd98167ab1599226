"""Keeps what an endpoint has answered, so that the same question gives the same answer and costs nothing again."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from core_engine import cache_dir
from core_engine.errors import OutputError


class Memory:
    """Answers of one endpoint, a file each under ``rephrasings`` in the user's cache folder. For any number of threads
    and processes.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._folder = cache_dir() / "rephrasings"

    def recall(self, request: Mapping[str, object]) -> str | None:
        """What was answered to this request; None where that is not known, or not readable."""
        try:
            found = json.loads(self._file(request).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, str) else None

    def keep(self, request: Mapping[str, object], answer: str) -> None:
        """OutputError where the folder cannot be written to."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder, suffix=".part")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(answer, file)
            Path(name).replace(self._file(request))
        except OSError as error:
            raise OutputError(
                f"{self._folder}: answers cannot be kept ({error}); make room or give rights, or set "
                "CORE_ENGINE_CACHE to another folder"
            ) from error

    def _file(self, request: Mapping[str, object]) -> Path:
        identity = json.dumps([self._url, request], sort_keys=True)
        return self._folder / f"{hashlib.sha256(identity.encode()).hexdigest()}.json"
