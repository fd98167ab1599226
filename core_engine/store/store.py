"""Rows of one teacher, by text."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch
from torch import Tensor

from core_engine.contracts.embeddings import StoredDtype
from core_engine.errors import DataError, TeacherError
from core_engine.memory.tables import blocks, new_table
from core_engine.store import compaction, segment
from core_engine.store.claims import Writer
from core_engine.store.segment import Header, NotASegmentError

log = structlog.get_logger("core_engine.store")


#: Its time is when the store was used last.
USED = "used"


class EmbeddingStore:
    """Embeddings of one teacher, found by the sha256 of the text.

    Rows lie in immutable segments (:mod:`core_engine.store.segment`) in a folder of their own under ``root``, one
    for each teacher, storage dtype and version of the store. There is no index on disk: it is rebuilt from the
    segments here, so a crash costs at most the segment being written, and any number of processes may read, write
    and compact at once. A file that is torn or foreign is named in a warning and skipped. Rows are memory-mapped:
    opening a store reads its keys only.

    ``dtype``: what rows are stored in. ``teacher``: a few words for people.
    Raises DataError when a segment is of another version.
    """

    def __init__(
        self,
        root: Path,
        fingerprint: str,
        dim: int,
        dtype: StoredDtype = "float32",
        teacher: Mapping[str, Any] | None = None,
    ) -> None:
        self.header = Header(fingerprint, dim, dtype, teacher or {})
        # A fingerprint may be any string; a digest is a safe folder name.
        identity = json.dumps([segment.FORMAT, fingerprint, dtype])
        self.folder = root / hashlib.sha256(identity.encode()).hexdigest()[:32]
        self._forget()
        self.refresh()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def segments(self) -> int:
        """How many files the rows lie in."""
        return len(self._rows)

    def refresh(self) -> None:
        """Take in what other processes have written since."""
        # A listing that is made during a compaction may show neither the merged file nor what went into it, and one
        # made before it files that are gone: two equal ones show all.
        before: list[Path] | None = None
        while True:
            now = sorted(self.folder.glob(f"*{segment.SUFFIX}"))
            absent = [path for path in now if not self._open(path)]
            if now == before:
                break
            before = now
        for path in absent:
            self._skip(path, "there is no such file: a broken link")

    def missing(self, texts: Sequence[str]) -> list[str]:
        """The distinct texts that have no row, in order of first appearance."""
        return [text for text in dict.fromkeys(texts) if key_of(text) not in self._index]

    def locate(self, texts: Sequence[str]) -> Tensor:
        """int64 ``[len(texts)]``: the number of each text's row, good until :meth:`compact`. KeyError for a text
        without one.
        """
        return torch.tensor([self._index[key_of(text)] for text in texts], dtype=torch.int64)

    def gather(self, numbers: Tensor) -> Tensor:
        """Rows by number (int64 ``[n]``): ``[n, dim]`` in the stored dtype; a copy. IndexError for one there is not."""
        if not len(numbers):
            return torch.empty(0, self.header.dim, dtype=self.header.torch_dtype)
        if not 0 <= int(numbers.min()) <= int(numbers.max()) < self._end:
            raise IndexError(f"row numbers go from 0 to {self._end - 1}")
        if len(self._rows) == 1:
            return _take(self._rows[0], numbers)
        out = torch.empty(len(numbers), self.header.dim, dtype=self.header.torch_dtype)
        starts = torch.tensor(self._starts)
        files, order = (torch.bucketize(numbers, starts, right=True) - 1).sort(stable=True)
        found, counts = files.unique_consecutive(return_counts=True)
        for file, positions in zip(found.tolist(), order.split(counts.tolist()), strict=True):
            out[positions] = _take(self._rows[file], numbers[positions] - starts[file])
        return out

    def get(self, texts: Sequence[str]) -> Tensor:
        """float32 ``[len(texts), dim]``, in the order of ``texts``: a copy, in a file where it is large (see
        :func:`core_engine.memory.tables.new_table`). KeyError for a text without a row.
        """
        numbers = self.locate(texts)
        table = new_table(len(numbers), self.header.dim)
        for rows in blocks(table):
            table[rows] = self.gather(numbers[rows])
        return table

    def add(self, texts: Sequence[str], rows: Tensor) -> None:
        """Store ``rows`` (float32 ``[len(texts), dim]``) as one segment; on return they are on disk.

        Raises OutputError where the folder cannot be written to, and nothing half-written is left then; TeacherError
        for a row that the stored dtype cannot hold.
        """
        if rows.dtype != torch.float32 or rows.shape != (len(texts), self.header.dim):
            raise ValueError(
                f"rows must be float32 [{len(texts)}, {self.header.dim}], not {rows.dtype} {list(rows.shape)}"
            )
        if not texts:
            return
        stored = rows.cpu().to(self.header.torch_dtype)
        if self.header.dtype != "float32":
            self._require_held(texts, stored)
        path = segment.write(self.folder, self.header, [key_of(text) for text in texts], stored)
        self._open(path)

    def writer(self) -> Writer:
        """A place among the store's writers, who share the work: see :class:`core_engine.store.claims.Writer`."""
        return Writer(self.folder)

    def claim(
        self, writer: Writer, texts: Sequence[str], choose: Callable[[list[str]], list[str]]
    ) -> tuple[list[str], list[str]]:
        """What ``choose`` picks of those ``texts`` that have no row and that no other writer is at, and those that
        another is at. The first are this writer's until it releases them.
        """
        by_key = {key_of(text): text for text in texts}
        free: list[str] = []

        def chosen(unclaimed: list[bytes]) -> list[bytes]:
            self.refresh()
            free.extend(by_key[key] for key in unclaimed if key not in self._index)
            return [key_of(text) for text in choose(free)]

        mine = [by_key[key] for key in writer.claim(list(by_key), chosen)]
        unclaimed = set(free)
        return mine, [text for text in self.missing(texts) if text not in unclaimed]

    def compact(self) -> None:
        """Merge small segments into large ones. Row numbers are new after it."""
        if compaction.compact(self.folder, self.header):
            self._forget()
            self.refresh()

    def require_writable(self) -> None:
        """Create the folder and try a file in it, so that no encoding is lost to a full or read-only disk later.

        Raises OutputError.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(b"\0")
        except OSError as error:
            raise segment.unwritable(self.folder, error) from error

    def mark_used(self) -> None:
        """Notes the day, by which ``core-engine store prune`` tells what nobody needs any more."""
        try:
            (self.folder / USED).touch()
        except OSError as error:
            log.debug("use not noted", folder=str(self.folder), reason=str(error))  # a read-only store is fine

    def _require_held(self, texts: Sequence[str], stored: Tensor) -> None:
        """TeacherError where rounding has made a row infinite or zero."""
        # The square of what float16 holds is far from the ends of float32; bfloat16 reaches as far as float32 itself.
        wide = torch.float32 if self.header.dtype == "float16" else torch.float64
        norms = torch.linalg.vector_norm(stored, dim=1, dtype=wide)
        if lost := (~(norms.isfinite() & (norms > 0))).nonzero().flatten().tolist():
            raise TeacherError(
                f"the embedding of {texts[lost[0]][:80]!r} does not fit {self.header.dtype} ({len(lost)} such of "
                f"{len(texts)}): set store.dtype to bfloat16 or float32"
            )

    def _forget(self) -> None:
        self._seen: set[Path] = set()
        self._rows: list[Tensor] = []
        self._starts: list[int] = []  # number of each file's first row
        self._index: dict[bytes, int] = {}  # key -> row number
        self._end = 0

    def _open(self, path: Path) -> bool:
        """False where there is no such file (any more)."""
        if path in self._seen:
            return True
        try:
            found = segment.read(path)
            if found.header != self.header:
                raise NotASegmentError("it belongs to another teacher")
        except FileNotFoundError:
            return False
        except NotASegmentError as error:
            self._skip(path, str(error))
            return True
        self._seen.add(path)
        self._rows.append(found.rows)
        self._starts.append(self._end)
        for row, key in enumerate(found.keys):
            self._index.setdefault(key, self._end + row)
        self._end += len(found.keys)
        return True

    def _skip(self, path: Path, reason: str) -> None:
        self._seen.add(path)
        log.warning("embedding segment skipped", path=str(path), reason=reason, remedy="core-engine store prune")


def _take(rows: Tensor, numbers: Tensor) -> Tensor:
    """``rows.index_select(0, numbers)`` by NumPy, which copies whole rows, into memory of large pages.

    As bytes, since NumPy has no bfloat16.
    """
    source = rows.view(torch.uint8).numpy()
    out = np.empty((len(numbers), source.shape[1]), np.uint8)
    # The mode "raise" would fill a buffer first. The numbers are good.
    np.take(source, numbers.numpy(), axis=0, out=out, mode="clip")
    return torch.from_numpy(out).view(rows.dtype)


def key_of(text: str) -> bytes:
    """What a text is found by. DataError where it is not valid Unicode."""
    try:
        return hashlib.sha256(text.encode()).digest()
    except UnicodeEncodeError as error:
        raise DataError(f"text {text[:80]!r} is not valid Unicode ({error.reason}): repair or drop it") from error
