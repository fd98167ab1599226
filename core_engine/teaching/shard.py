"""One file of the embedding store: rows and the keys they belong to, immutable once it has its name.

A shard is a safetensors file with ``rows`` (float32 ``[n, dim]``), ``keys`` (uint8 ``[n, 32]``: the sha256 of each
text) and the store's format version, teacher fingerprint and dimension as metadata.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import safetensors.torch
import torch
from attrs import frozen
from safetensors import SafetensorError, safe_open
from torch import Tensor

from core_engine.errors import DataError, OutputError

FORMAT = "1"
SUFFIX = ".safetensors"
KEY_BYTES = 32


class NotAShardError(Exception):
    """The file is torn, or was not written by this store. The message says how."""


@frozen
class Shard:
    """``rows``: float32 ``[n, dim]``, memory-mapped. ``keys``: the sha256 digest of each row's text."""

    rows: Tensor
    keys: list[bytes]


def read(path: Path, fingerprint: str) -> Shard:
    """Map one shard into memory. Raises NotAShardError, or DataError for a shard of another format version."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_format(path, metadata)
            if metadata.get("fingerprint") != fingerprint:
                raise NotAShardError("it belongs to another teacher")
            rows, keys = file.get_tensor("rows"), file.get_tensor("keys")
    except (SafetensorError, OSError) as error:
        raise NotAShardError(str(error)) from error
    well_formed = (
        (rows.dtype, rows.ndim) == (torch.float32, 2)
        and (keys.dtype, keys.shape) == (torch.uint8, (len(rows), KEY_BYTES))
        and metadata.get("dim") == str(rows.shape[1])
    )
    if not well_formed:
        raise NotAShardError(f"rows are {_describe(rows)} and keys {_describe(keys)}")
    packed = keys.numpy().tobytes()
    return Shard(rows, [packed[i : i + KEY_BYTES] for i in range(0, len(packed), KEY_BYTES)])


def write(folder: Path, fingerprint: str, keys: list[bytes], rows: Tensor) -> Path:
    """Write a shard beside its place and rename it, so that no reader ever sees half of one.

    Raises OutputError where the folder cannot be written to.
    """
    tensors = {
        "rows": rows.contiguous(),
        "keys": torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).view(-1, KEY_BYTES),
    }
    metadata = {"format": FORMAT, "fingerprint": fingerprint, "dim": str(rows.shape[1])}
    data = safetensors.torch.save(tensors, metadata=metadata)
    path = folder / f"{uuid.uuid4().hex}{SUFFIX}"
    temporary = path.with_suffix(".tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # a name must never reach the disk before its contents
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return path


def unwritable(folder: Path, error: OSError) -> OutputError:
    """The error for an embedding store that cannot be written to."""
    return OutputError(
        f"{folder}: cannot write embeddings here: {error.strerror or error}. Free space or fix the permissions, or "
        f"set the environment variable CORE_ENGINE_CACHE to a folder that can be written to."
    )


def _check_format(path: Path, metadata: dict[str, str]) -> None:
    found = metadata.get("format")
    if found is not None and "fingerprint" in metadata and found != FORMAT:
        raise DataError(
            f"{path}: written in embedding store format {found}; this version of core-engine reads format {FORMAT}. "
            f"Delete the folder {path.parent}, or set CORE_ENGINE_CACHE to another folder."
        )


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
