"""One process at a time writes a run's folder."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from core_engine.errors import OutputError
from core_engine.run.folder import write_atomically

_LOCK = ".lock"
_OWNER = ".owner.json"


@contextmanager
def sole_owner(run_dir: Path) -> Iterator[None]:
    """Holds the run's folder while open; the system lets go of it when the process ends, however it ends.

    OutputError that names the process and host that has it, and where the folder cannot be written.
    """
    lock, owner = FileLock(run_dir / _LOCK), run_dir / _OWNER
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise OutputError(
            f"{run_dir}: {_named(owner)} is at this run; wait for it, or stop it, before going on with it here"
        ) from error
    except OSError as error:
        raise OutputError(
            f"{run_dir}: cannot be written: {error.strerror or error}; see to space and permissions"
        ) from error
    try:
        write_atomically(owner, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _named(owner: Path) -> str:
    try:
        told = json.loads(owner.read_text(encoding="utf-8"))
        return f"process {told['pid']} on {told['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # that has not written its name yet
