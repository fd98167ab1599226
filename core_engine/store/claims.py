"""Who is encoding what at this moment, so that writers share the work instead of repeating it.

Each writer holds a lock file for as long as it lives, which the operating system lets go when it dies, however it dies.
Before it encodes a batch it writes the batch's keys to a claim file; once the rows are published, its next claim takes
the place of this one, or the writer leaves. A claim counts no more once its writer is dead or, where that cannot be
told (a writer on another machine), once it is older than the lease. Claims only save work: without them, two writers
would store the same row twice.
"""

from __future__ import annotations

import hashlib
import platform
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from core_engine.errors import OutputError
from core_engine.store.segment import KEY_BYTES, unwritable

#: Seconds after which a batch counts as given up.
LEASE = 600.0
#: Seconds that another writer may hold the lock of the claims, which takes it milliseconds.
PATIENCE = 60.0
#: Seconds between two tries to take it; a long pause would leave the work to a writer that never pauses.
POLL = 0.005

_CLAIM, _ALIVE, _GUARD = ".claim", ".alive", "guard.lock"


class Writer:
    """A writer's place in the store at ``folder``; a context manager. OutputError where there can be none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "writers"
        name = uuid.uuid4().hex
        self._claim = self._folder / f"{name}{_CLAIM}"
        self._guard = FileLock(self._folder / _GUARD, timeout=PATIENCE, thread_local=False)
        self._alive = FileLock(self._folder / f"{name}{_ALIVE}", timeout=0, thread_local=False)

    def __enter__(self) -> Writer:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Others must not find the file before it is locked, and take its writer for dead.
            with self._guard.acquire(poll_interval=POLL):
                self._alive.acquire()
        except (OSError, NotImplementedError) as error:  # the second: a file system without locks
            raise unwritable(self._folder, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
        self._alive.release()
        Path(self._alive.lock_file).unlink(missing_ok=True)

    def claim(self, keys: list[bytes], choose: Callable[[list[bytes]], list[bytes]]) -> list[bytes]:
        """Claims what ``choose`` picks of the keys that no other writer has claimed, in place of an earlier claim.

        ``choose`` is asked after the claims were read. Rows are published before their claim is taken back, so it
        finds what is no longer claimed in the store.
        """
        try:
            with self._guard.acquire(poll_interval=POLL):
                taken = self._taken()
                mine = choose([key for key in keys if key not in taken])
                if mine:
                    beside = self._claim.with_suffix(".tmp")
                    beside.write_bytes(_machine() + b"".join(mine))
                    beside.replace(self._claim)
        except Timeout as error:
            raise OutputError(
                f"{self._folder}: another writer has held {self._guard.lock_file} for {PATIENCE:.0f} s; if none is "
                f"running, delete that file"
            ) from error
        except OSError as error:
            raise unwritable(self._folder, error) from error
        return mine

    def renew(self) -> None:
        """Starts the lease anew, for a claim whose rows come in pieces."""
        self._claim.touch()

    def release(self) -> None:
        """Takes the claim back."""
        self._claim.unlink(missing_ok=True)

    def _taken(self) -> set[bytes]:
        """Keys that living writers have claimed; what dead ones left is removed."""
        taken: set[bytes] = set()
        now = self._now()
        for path in self._folder.glob(f"*{_CLAIM}"):
            if path == self._claim:
                continue
            try:
                content, age = path.read_bytes(), now - path.stat().st_mtime
            except FileNotFoundError:
                continue  # released
            machine, keys = content[:KEY_BYTES], content[KEY_BYTES:]
            given_up = is_dead(path.with_suffix(_ALIVE)) if machine == _machine() else age > LEASE
            if given_up:
                path.unlink(missing_ok=True)
                continue
            taken.update(keys[i : i + KEY_BYTES] for i in range(0, len(keys), KEY_BYTES))
        return taken

    def _now(self) -> float:
        """By the clock of the machine that keeps the files, which may not be ours."""
        clock = Path(self._guard.lock_file)
        clock.touch()
        return clock.stat().st_mtime


def has_living_writers(folder: Path) -> bool:
    """Whether some process of this machine has the store at ``folder`` open for writing."""
    writers = folder / "writers"
    if not writers.is_dir():
        return False
    with FileLock(writers / _GUARD, timeout=PATIENCE, thread_local=False).acquire(poll_interval=POLL):
        return any(not is_dead(path) for path in writers.glob(f"*{_ALIVE}"))


def is_dead(alive: Path) -> bool:
    """Whether the writer on this machine that holds this file is gone; its file is then removed.

    To be asked under the guard, since a new writer's file is there before it is held.
    """
    lock = FileLock(alive, timeout=0, thread_local=False)
    try:
        with lock:
            alive.unlink(missing_ok=True)
    except Timeout:
        return False
    return True


def _machine() -> bytes:
    """32 bytes that tell this start of this machine from others."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    identity = f"{platform.node()} {uuid.getnode()} {boot.read_text() if boot.is_file() else ''}"
    return hashlib.sha256(identity.encode()).digest()
