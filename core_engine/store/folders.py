"""All the stores under one root: what they hold, and what nobody needs any more."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen
from filelock import FileLock, Timeout

from core_engine.errors import DataError, OutputError
from core_engine.store import compaction, segment
from core_engine.store.claims import has_living_writers
from core_engine.store.segment import Header, NotASegmentError, OtherFormatError, Segment
from core_engine.store.store import USED

DAY = 86_400.0


@frozen
class StoreFolder:
    """One teacher's store.

    ``rows`` counts a row for each time it is stored. ``header`` is None where no segment can be read. ``used``: Unix
    time. ``useless``: files that hold no rows, and why; ``foreign``: those of another version or user.
    """

    path: Path
    header: Header | None
    rows: int
    bytes: int
    segments: int
    used: float
    useless: dict[Path, str]
    foreign: dict[Path, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        header = self.header
        return {
            "folder": str(self.path),
            "teacher": {} if header is None else dict(header.teacher),
            "fingerprint": None if header is None else header.fingerprint,
            "dim": None if header is None else header.dim,
            "dtype": None if header is None else header.dtype,
            "rows": self.rows,
            "bytes": self.bytes,
            "segments": self.segments,
            "used": self.used,
            "useless": {path.name: why for path, why in self.useless.items()},
            "foreign": {path.name: why for path, why in self.foreign.items()},
        }


@frozen
class Pruned:
    """Something that was removed, or would be."""

    path: Path
    bytes: int
    why: str


def list_folders(root: Path) -> list[StoreFolder]:
    """The stores under ``root``, those used last first. OutputError where ``root`` can be no folder."""
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not existing.is_dir():
        raise OutputError(f"{root}: {existing} is a file, not a folder: set CORE_ENGINE_CACHE to another one")
    folders = [_look_at(path) for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    return sorted(folders, key=lambda folder: -folder.used)


def prune(root: Path, unused_days: float | None = None, name: str | None = None, dry_run: bool = False) -> list[Pruned]:
    """Removes files that hold no rows: torn, damaged and foreign ones, and what dead writers left. With
    ``unused_days``, also the stores that were not used for so long; with ``name``, that store alone, whole.

    DataError where there is no store of that name, or someone is writing to one that would go; OutputError where a
    file cannot be removed.
    """
    folders = list_folders(root)
    if name is not None:
        folders = [folder for folder in folders if len(name) >= 4 and folder.path.name.startswith(name)]
        if len(folders) != 1:
            raise DataError(
                f"{root}: {len(folders) or 'no'} embedding stores are named {name!r}: give the first letters, four at "
                f"least, of a name that 'core-engine store ls' prints"
            )
    found: list[Pruned] = []
    for folder in folders:
        days = (time.time() - folder.used) / DAY
        if not (folder.segments or folder.useless or folder.foreign) and not has_living_writers(folder.path):
            found.append(Pruned(folder.path, folder.bytes, "empty"))
            continue
        if name is not None or (unused_days is not None and days >= unused_days):
            found.append(
                Pruned(folder.path, folder.bytes, f"not used for {days:.0f} days" if name is None else "named")
            )
        else:
            found += _leftovers(folder)
    if not dry_run:
        for pruned in found:
            _remove(pruned.path)
    return found


def damaged(folder: Path) -> list[Path]:
    """Segments of a store whose bits are not as they were written. Reads every row."""
    return [one.path for one in _segments(folder) if isinstance(one, Segment) and not one.is_intact()]


def _look_at(path: Path) -> StoreFolder:
    header, rows, segments = None, 0, 0
    useless: dict[Path, str] = {}
    foreign: dict[Path, str] = {}
    for one in _segments(path):
        if isinstance(one, Segment):
            header, rows, segments = one.header, rows + len(one.keys), segments + 1
        else:
            (useless if one[2] else foreign)[one[0]] = one[1]
    sizes = [_status(file).st_size for file in path.rglob("*") if not file.is_dir()]
    used = _status(path / USED).st_mtime or _status(path).st_mtime
    return StoreFolder(path, header, rows, sum(sizes), segments, used, useless, foreign)


def _status(path: Path) -> os.stat_result:
    """All zeros for what has vanished meanwhile."""
    try:
        return path.stat()
    except FileNotFoundError:
        return os.stat_result([0] * 10)


def _segments(folder: Path) -> Iterator[Segment | tuple[Path, str, bool]]:
    """Each segment, or its path, what is wrong with it, and whether nothing is lost with it."""
    for path in sorted(folder.glob(f"*{segment.SUFFIX}")):
        try:
            yield segment.read(path)
        except FileNotFoundError:
            if path.is_symlink():
                yield path, "a broken link", True
            # else compacted away
        except NotASegmentError as error:
            yield path, str(error), error.removable
        except OtherFormatError as error:
            yield path, str(error), False


def _leftovers(folder: StoreFolder) -> Iterator[Pruned]:
    for path, why in folder.useless.items():
        yield Pruned(path, _status(path).st_size, why)
    for path in damaged(folder.path):
        yield Pruned(path, _status(path).st_size, "damaged: not the bits that were written")
    for path in compaction.abandoned(folder.path):
        yield Pruned(path, _status(path).st_size, "left by a writer that died")


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            _remove_store(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be removed: {error.strerror or error}; fix its permissions") from error


def _remove_store(path: Path) -> None:
    """Not from under those who write to it."""
    try:
        with FileLock(path / compaction.LOCK, timeout=0, thread_local=False):
            if has_living_writers(path):
                raise DataError(f"{path}: a run is writing embeddings there; wait for it, or stop it")
            shutil.rmtree(path)
    except Timeout as error:
        raise DataError(f"{path}: a run is compacting the store; try again in a moment") from error
