"""Tables of embeddings: in memory, or where they would take too much of it, in a file that is mapped into it."""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import IO

import structlog
import torch
from torch import Tensor

from core_engine.cache import cache_dir
from core_engine.errors import OutputError
from core_engine.memory.free import free_memory

log = structlog.get_logger("core_engine.memory")

#: A table that would take more than this share of the free memory goes to a file: there are several in a run.
LARGEST_SHARE = 0.25
#: Rows at a time, wherever a whole table is gone through.
BLOCK = 8192
#: Bytes that the system is asked to read at once; of more, Linux reads the first ones alone.
_PIECE = 2**20

#: The files, by where their storages begin.
_files: weakref.WeakValueDictionary[int, mmap.mmap] = weakref.WeakValueDictionary()


def new_table(rows: int, dim: int, like: Tensor | None = None) -> Tensor:
    """``[rows, dim]`` with values to be set, in the dtype and on the device of ``like`` (float32 on the CPU).

    On the CPU, a table of more than ``LARGEST_SHARE`` of the memory that is free lies in a file in the user's cache
    folder, which has no name and is gone with the table, however the process ends. The system reads from it what is
    used and keeps it as long as there is room. It is a tensor as any other; only what copies it as a whole needs as
    much memory again. Raises OutputError where there is no room for the file.
    """
    dtype = torch.float32 if like is None else like.dtype
    device = torch.device("cpu") if like is None else like.device
    size = rows * dim * dtype.itemsize
    if device.type != "cpu" or size <= free_memory(device) * LARGEST_SHARE:
        return torch.empty(rows, dim, dtype=dtype, device=device)
    log.info("embeddings lie in a file", gigabytes=round(size / 1e9, 3), rows=rows, folder=str(cache_dir()))
    return _in_file(size).view(dtype).reshape(rows, dim)


def lies_in_file(table: Tensor) -> bool:
    """Whether it is a table, or a part of one, that :func:`new_table` has put there."""
    return table.device.type == "cpu" and table.untyped_storage().data_ptr() in _files


def blocks(table: Tensor) -> Iterator[slice]:
    """The whole of it, some rows at a time."""
    for start in range(0, len(table), BLOCK):
        block = slice(start, min(len(table), start + BLOCK))
        _read_ahead(table[block])
        yield block


def take(table: Tensor, numbers: Tensor) -> Tensor:
    """``table[numbers]``, int64 ``[n]``, as a new table."""
    return torch.index_select(table, 0, numbers, out=new_table(len(numbers), table.shape[1], table))


def joined(tables: list[Tensor]) -> Tensor:
    """One after the other, ``[n_i, D]`` of one dtype, as a new table."""
    return torch.cat(tables, out=new_table(sum(map(len, tables)), tables[0].shape[1], tables[0]))


def numbers_of_rows(table: Tensor) -> Tensor:
    """int64 ``[n]``: equal where rows are equal bit by bit, from 0 in the order of first appearance."""
    known: dict[bytes, int] = {}
    found = torch.empty(len(table), dtype=torch.int64)
    for rows in blocks(table):
        packed = table[rows].cpu().contiguous().view(torch.uint8).numpy()
        digests = [hashlib.blake2b(row, digest_size=16).digest() for row in packed]
        found[rows] = torch.tensor([known.setdefault(digest, len(known)) for digest in digests])
    return found.to(table.device)


def mapped(function: Callable[[Tensor], Tensor], table: Tensor, like: Tensor) -> Tensor:
    """``function(table)``, a row of values as those of ``like`` for each row, for one that works row by row."""
    out = new_table(len(table), len(like), like)
    for rows in blocks(table):
        out[rows] = function(table[rows])
    return out


def mean_row(table: Tensor) -> Tensor:
    """``[D]``, of ``[n, D]``; summed in float64."""
    total = torch.zeros(table.shape[1], dtype=torch.float64, device=table.device)
    for rows in blocks(table):
        total += table[rows].sum(0, dtype=torch.float64)
    return (total / len(table)).to(table.dtype)


def sum_of_squares(table: Tensor, mean: Tensor | None = None) -> Tensor:
    """Of all values, less ``mean`` ``[D]`` where it is given; float64 ``[]``."""
    total = torch.zeros((), dtype=torch.float64, device=table.device)
    for rows in blocks(table):
        block = table[rows].double()
        total += (block if mean is None else block - mean.double()).square().sum()
    return total


def cross_products(
    left: Tensor, right: Tensor, left_mean: Tensor | None = None, right_mean: Tensor | None = None
) -> Tensor:
    """``Σ (left_i - left_mean)ᵀ (right_i - right_mean)``, of ``[n, D]`` and ``[n, E]``, in float64; no mean is zero."""
    total = torch.zeros(left.shape[1], right.shape[1], dtype=torch.float64, device=left.device)
    for rows in blocks(left):
        one, other = left[rows], right[rows]
        one = one if left_mean is None else one - left_mean
        other = other if right_mean is None else other - right_mean
        total += one.double().T @ other.double()
    return total


def _in_file(size: int) -> Tensor:
    """uint8 ``[size]``."""
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file, size)
            memory = mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise OutputError(
            f"{folder}: no room for embeddings of {size / 1e9:.2f} GB, which are too large for the free memory "
            f"({error.strerror or error}): free disk space, or set CORE_ENGINE_CACHE to a folder on another disk"
        ) from error
    if hasattr(mmap, "MADV_RANDOM"):
        # Rows are taken in random order: what lies around one is of no use.
        memory.madvise(mmap.MADV_RANDOM)
    tensor = torch.frombuffer(memory, dtype=torch.uint8)
    _files[tensor.untyped_storage().data_ptr()] = memory
    return tensor


def _read_ahead(block: Tensor) -> None:
    """Has the system read these rows, which follow one another, all at once."""
    if lies_in_file(block) and hasattr(mmap, "MADV_WILLNEED"):
        storage = block.untyped_storage()
        start = block.data_ptr() - storage.data_ptr()
        end = start + block.nbytes
        for piece in range(start - start % mmap.PAGESIZE, end, _PIECE):
            _files[storage.data_ptr()].madvise(mmap.MADV_WILLNEED, piece, min(_PIECE, end - piece))


def _reserve(file: IO[bytes], size: int) -> None:
    """Takes the space now: a full disk is an error here, and would kill the process where the table is written to."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(2**24)
    for start in range(0, size, len(zeros)):
        file.write(zeros[: size - start])
    file.flush()
