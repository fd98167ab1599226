"""One file of the embedding store: rows and the keys they belong to, immutable once it has its name.

A segment is a safetensors file with ``rows`` (``[n, dim]`` in the store's dtype), ``keys`` (uint8 ``[n, 32]``: the
sha256 of each text) and, as metadata, what the whole folder has in common and a checksum.
"""

from __future__ import annotations

import json
import os
import uuid
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from attrs import field, frozen
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from core_engine.contracts.embeddings import StoredDtype
from core_engine.errors import DataError, OutputError

#: Version of the store. Raise it when rows or keys come to mean something else.
FORMAT = "2"
SUFFIX = ".safetensors"
UNFINISHED = ".tmp"
KEY_BYTES = 32

_DTYPES: dict[StoredDtype, torch.dtype] = {name: getattr(torch, name) for name in get_args(StoredDtype)}


class NotASegmentError(Exception):
    """The file holds no rows that can be used. The message says why.

    ``removable``: nothing is lost with it: it is torn, or was not written by a store. Otherwise it is another version's
    or another user's.
    """

    def __init__(self, reason: str, removable: bool = True) -> None:
        super().__init__(reason)
        self.removable = removable


class OtherFormatError(DataError):
    """The file was written by another version of the store."""


@frozen
class Header:
    """What all segments of a folder have in common. ``teacher``: a few words for people, such as its model."""

    fingerprint: str
    dim: int
    dtype: StoredDtype
    teacher: Mapping[str, Any] = field(factory=dict, eq=False)

    @property
    def torch_dtype(self) -> torch.dtype:
        return _DTYPES[self.dtype]


@frozen(eq=False)
class Segment:
    """``rows``: ``[n, dim]``, memory-mapped. ``keys``: the sha256 digest of each row's text."""

    path: Path
    header: Header
    rows: Tensor
    keys: list[bytes]
    checksum: int

    def is_intact(self) -> bool:
        """Whether every bit is as it was written. Reads the whole file."""
        return _checksum(self.rows, b"".join(self.keys)) == self.checksum


def read(path: Path) -> Segment:
    """Map one segment into memory; rows are not read.

    Raises NotASegmentError, OtherFormatError, FileNotFoundError, or DataError where this process cannot open it now.
    """
    try:
        with path.open("rb"):  # safetensors takes every file that it cannot open for one that is not there
            pass
    except FileNotFoundError:
        raise
    except (PermissionError, IsADirectoryError) as error:
        raise NotASegmentError(error.strerror or str(error), removable=False) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {error.strerror}; try again") from error
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format", FORMAT) != FORMAT:
                raise OtherFormatError(
                    f"{path}: written in embedding store format {metadata['format']}; this version of core-engine "
                    f"reads format {FORMAT}. Move the file away, or set CORE_ENGINE_CACHE to another folder."
                )
            rows, keys = file.get_tensor("rows"), file.get_tensor("keys")
        teacher = json.loads(metadata["teacher"])
        if not isinstance(teacher, dict):
            raise NotASegmentError("its teacher is no JSON object")
        header = Header(metadata["fingerprint"], int(metadata["dim"]), _named(metadata["dtype"]), teacher)
        checksum = int(metadata["checksum"])
    except FileNotFoundError:
        raise
    except (SafetensorError, ValueError, RecursionError) as error:
        raise NotASegmentError(str(error)) from error
    except (OSError, RuntimeError, MemoryError) as error:  # torch cannot map it: the machine's fault, not the file's
        raise DataError(f"{path}: cannot be mapped into memory: {str(error).splitlines()[0]}") from error
    except KeyError as error:
        raise NotASegmentError(f"it does not say its {error}") from error
    well_formed = (rows.dtype, rows.shape[1:]) == (header.torch_dtype, (header.dim,)) and (
        (keys.dtype, keys.shape) == (torch.uint8, (len(rows), KEY_BYTES))
    )
    if not well_formed:
        raise NotASegmentError(f"rows are {_describe(rows)} and keys {_describe(keys)}")
    packed = keys.numpy().tobytes()
    return Segment(path, header, rows, [packed[i : i + KEY_BYTES] for i in range(0, len(packed), KEY_BYTES)], checksum)


def write(folder: Path, header: Header, keys: list[bytes], rows: Tensor) -> Path:
    """Write a segment beside its place and rename it, so that no reader ever sees half of one.

    On return it is on disk. Raises OutputError where the folder cannot be written to.
    """
    path = folder / f"{uuid.uuid4().hex}{SUFFIX}"
    unfinished = path.with_suffix(UNFINISHED)
    rows = rows.contiguous()
    packed = b"".join(keys)
    metadata = {
        "format": FORMAT,
        "fingerprint": header.fingerprint,
        "dim": str(header.dim),
        "dtype": header.dtype,
        "teacher": json.dumps(dict(header.teacher), default=str),
        "checksum": str(_checksum(rows, packed)),
    }
    tensors = {"rows": rows, "keys": torch.frombuffer(bytearray(packed), dtype=torch.uint8).view(-1, KEY_BYTES)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            save_file(tensors, unfinished, metadata=metadata)
            sync(unfinished)  # a name must never reach the disk before its contents
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise unwritable(folder, error) from error
    return path


def sync(path: Path) -> None:
    """Returns once the file, or the folder's list of names, is on disk."""
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(folder: Path, error: Exception) -> OutputError:
    """The error for an embedding store that cannot be written to."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return OutputError(
        f"{folder}: cannot write embeddings here: {reason}. Free space or fix the permissions, or "
        f"set the environment variable CORE_ENGINE_CACHE to a folder that can be written to."
    )


def _checksum(rows: Tensor, packed_keys: bytes) -> int:
    # NumPy has no bfloat16, and CRC-32 looks at bytes only.
    return zlib.crc32(packed_keys, zlib.crc32(rows.view(torch.uint8).numpy().data))


def _named(dtype: str) -> StoredDtype:
    for name in _DTYPES:
        if name == dtype:
            return name
    raise NotASegmentError(f"its rows are {dtype}")


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
