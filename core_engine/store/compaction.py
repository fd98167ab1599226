"""Many small segments into few large ones, while others read and write."""

from __future__ import annotations

import time
from pathlib import Path

import structlog
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from core_engine.store import segment
from core_engine.store.segment import Header, NotASegmentError, Segment

log = structlog.get_logger("core_engine.store")

#: Bytes of rows in a segment at most; larger ones are left as they are.
LARGEST = 2**30
#: Seconds after which a file that no writer has finished is certainly nobody's.
ABANDONED = 3600.0

#: Held by whoever merges or removes segments.
LOCK = "compaction.lock"


def compact(folder: Path, header: Header) -> bool:
    """Merges segments as :func:`_worth_merging` says; whether there was anything to merge.

    The merged segments are on disk under their names before the old ones go, so a crash costs nothing and a reader
    always finds every row. Where another process is at it, nothing is done. OutputError where the folder cannot be
    written to: nothing is lost then.
    """
    if sum(1 for _ in folder.glob(f"*{segment.SUFFIX}")) < 2:
        return False
    try:
        with FileLock(folder / LOCK, timeout=0, thread_local=False):
            for path in abandoned(folder):
                path.unlink(missing_ok=True)
            batches = _batches(_worth_merging(_readable(folder, header)))
            for batch in batches:
                _replace(folder, batch)
    except Timeout:
        return False
    except OSError as error:
        raise segment.unwritable(folder, error) from error
    return bool(batches)


def _readable(folder: Path, header: Header) -> list[Segment]:
    found = []
    for path in sorted(folder.glob(f"*{segment.SUFFIX}")):
        try:
            found.append(segment.read(path))
        except (NotASegmentError, FileNotFoundError):
            continue  # whoever opens the store is warned of the one; the other was pruned meanwhile
    return [one for one in found if one.header == header]


def _worth_merging(segments: list[Segment]) -> list[Segment]:
    """The smallest ones, up to the last that is at most twice as large as all before it together.

    So a segment at least grows by half whenever it is rewritten, and those that stay are each more than twice as large
    as all before: rewriting and the number of files grow with the logarithm of the store's size.
    """
    ordered = sorted((one for one in segments if one.rows.nbytes < LARGEST), key=lambda one: one.rows.nbytes)
    count = total = 0
    for number, found in enumerate(ordered, start=1):
        if found.rows.nbytes <= 2 * total:
            count = number
        total += found.rows.nbytes
    return ordered[:count]


def _batches(segments: list[Segment]) -> list[list[Segment]]:
    """Groups of two or more that make one segment each."""
    batches: list[list[Segment]] = [[]]
    for found in segments:
        if sum(one.rows.nbytes for one in batches[-1]) >= LARGEST:
            batches.append([])
        batches[-1].append(found)
    return [batch for batch in batches if len(batch) > 1]


def _replace(folder: Path, segments: list[Segment]) -> None:
    """Each row once, however often it was stored; a damaged segment is left where it is."""
    keys: dict[bytes, None] = {}
    rows: list[Tensor] = []
    merged: list[Segment] = []
    for found in segments:
        if not found.is_intact():
            log.warning("embedding segment damaged", path=str(found.path), remedy="core-engine store prune")
            continue
        fresh = [row for row, key in enumerate(found.keys) if key not in keys]
        keys.update(dict.fromkeys(found.keys))
        rows.append(found.rows if len(fresh) == len(found.keys) else found.rows[fresh])
        merged.append(found)
    if len(merged) < 2:
        return
    segment.write(folder, merged[0].header, list(keys), torch.cat(rows))
    segment.sync(folder)
    for found in merged:
        found.path.unlink(missing_ok=True)


def abandoned(folder: Path) -> list[Path]:
    """Files that a writer began and, by their age, will never finish."""
    return [path for path in folder.rglob(f"*{segment.UNFINISHED}") if _age(path) > ABANDONED]


def _age(path: Path) -> float:
    """Seconds; 0 for a file that has got its name meanwhile."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
