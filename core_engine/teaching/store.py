"""The embedding store: rows keyed by teacher fingerprint and text, shared by all runs of a user."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import structlog
import torch
from torch import Tensor

from core_engine.errors import DataError
from core_engine.teaching import shard
from core_engine.teaching.shard import NotAShardError, Shard

log = structlog.get_logger("core_engine.teaching")


class EmbeddingStore:
    """Embeddings of one teacher, found by the sha256 of the text.

    Rows lie in immutable shards (:mod:`core_engine.teaching.shard`) in a folder of their own under ``root``. There
    is no index on disk: it is rebuilt from the shards here, so a crash costs at most the shard being written and any
    number of processes may write at once. A file that is torn or foreign is named in a warning and skipped. Rows
    are memory-mapped: opening a store reads its keys only.

    Raises DataError when a shard is of another format version.
    """

    def __init__(self, root: Path, fingerprint: str, dim: int) -> None:
        self.fingerprint = fingerprint
        self.dim = dim
        # A fingerprint may be any string; its digest is a safe folder name.
        self.folder = root / hashlib.sha256(fingerprint.encode()).hexdigest()[:32]
        self._rows: list[Tensor] = []
        self._index: dict[bytes, tuple[int, int]] = {}  # key -> (shard, row in it)
        for path in sorted(self.folder.glob(f"*{shard.SUFFIX}")):
            self._open(path)

    def __len__(self) -> int:
        return len(self._index)

    def missing(self, texts: Sequence[str]) -> list[str]:
        """The distinct texts that have no row, in order of first appearance."""
        return [text for text in dict.fromkeys(texts) if _key(text) not in self._index]

    def get(self, texts: Sequence[str]) -> Tensor:
        """float32 ``[len(texts), dim]``, in the order of ``texts``; a copy. KeyError for a text without a row."""
        out = torch.empty(len(texts), self.dim)
        wanted: dict[int, tuple[list[int], list[int]]] = {}
        for position, text in enumerate(texts):
            number, row = self._index[_key(text)]
            positions, rows = wanted.setdefault(number, ([], []))
            positions.append(position)
            rows.append(row)
        for number, (positions, rows) in wanted.items():
            out[positions] = self._rows[number][rows]
        return out

    def add(self, texts: Sequence[str], rows: Tensor) -> None:
        """Store ``rows`` (float32 ``[len(texts), dim]``) as one shard; on return they are on disk.

        Raises OutputError where the folder cannot be written to; nothing half-written is left then.
        """
        if rows.dtype != torch.float32 or rows.shape != (len(texts), self.dim):
            raise ValueError(f"rows must be float32 [{len(texts)}, {self.dim}], not {rows.dtype} {list(rows.shape)}")
        if texts:
            path = shard.write(self.folder, self.fingerprint, [_key(text) for text in texts], rows.cpu())
            self._open(path)

    def require_writable(self) -> None:
        """Create the folder and try a file in it, so that no encoding is lost to a full or read-only disk later.

        Raises OutputError.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(b"\0")
        except OSError as error:
            raise shard.unwritable(self.folder, error) from error

    def _open(self, path: Path) -> None:
        try:
            found = shard.read(path, self.fingerprint)
            if found.rows.shape[1] != self.dim:
                raise NotAShardError(f"its rows have {found.rows.shape[1]} dimensions, not {self.dim}")
        except NotAShardError as error:
            log.warning("embedding shard skipped", path=str(path), reason=str(error), remedy="delete the file")
            return
        self._index_rows(found)

    def _index_rows(self, found: Shard) -> None:
        number = len(self._rows)
        self._rows.append(found.rows)
        self._index.update((key, (number, row)) for row, key in enumerate(found.keys))


def _key(text: str) -> bytes:
    try:
        return hashlib.sha256(text.encode()).digest()
    except UnicodeEncodeError as error:
        raise DataError(f"text {text[:80]!r} is not valid Unicode ({error.reason}): repair or drop it") from error
