"""Digests of model files, remembered on disk, so that a run that needs no model does not read gigabytes."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from pathlib import Path

import attrs
import structlog
from attrs import frozen

from core_engine import cache_dir
from core_engine.errors import TeacherError

log = structlog.get_logger("core_engine.teachers")

#: A file changed less than this many seconds ago may change again within the resolution of its timestamps.
RACY_SECONDS = 2.0


@frozen
class State:
    """A file as it stood at one moment: what changes when its bytes do. Times in nanoseconds since the epoch."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> State:
        resolved = path.resolve()
        status = resolved.stat()
        return cls(str(resolved), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    @property
    def record(self) -> Path:
        """Where the digest of the file at this path is remembered."""
        return cache_dir() / "digests" / f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:32]}.json"


def file_digest(path: Path) -> str:
    """sha256, in hex, of a file's bytes; remembered as long as its state is the same.

    Raises TeacherError where it cannot be read.
    """
    try:
        state = State.of(path)
        if (known := _recall(state)) is not None:
            return known
        started = time.time()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        settled = max(state.mtime_ns, state.ctime_ns) <= (started - RACY_SECONDS) * 1e9
        if settled and State.of(path) == state:
            _remember(state, digest)
    except OSError as error:
        raise TeacherError(f"{path}: cannot be read ({error.strerror}); copy or download the model again") from error
    return digest


def _recall(state: State) -> str | None:
    try:
        found = json.loads(state.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # absent or damaged: the file itself is read, which gives the same answer
    digest = found.pop("sha256", None) if isinstance(found, dict) else None
    return digest if isinstance(digest, str) and len(digest) == 64 and found == attrs.asdict(state) else None


def _remember(state: State, digest: str) -> None:
    temporary = state.record.with_suffix(f".{uuid.uuid4().hex}.tmp")
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps({**attrs.asdict(state), "sha256": digest}), encoding="utf-8")
            temporary.replace(state.record)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        log.debug("digest not remembered", path=str(state.record), reason=str(error))
