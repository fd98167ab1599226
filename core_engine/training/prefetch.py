"""Reads rows that lie in files before they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from core_engine.memory.tables import lies_in_file

#: float32 values of a page of memory, the least that is read.
_PAGE = 1024
#: Each waits for the disk most of the time, which serves several at once.
_THREADS = 8


class Prefetch:
    """While one step is computed, threads touch the rows of the next, so that the system has them in memory by then.

    What is computed is the same with and without. Does nothing for tables that are in memory.
    """

    def __init__(self, tables: Iterable[Tensor]) -> None:
        self._tables = [table for table in tables if lies_in_file(table)]
        self._threads = ThreadPoolExecutor(_THREADS) if self._tables else None
        self._reading: list[Future[None]] = []

    def read(self, parts: Sequence[Tensor]) -> None:
        """int64 ``[B]`` each; waits where those before are still being read."""
        if self._threads is None:
            return
        for part in self._reading:
            part.result()
        self._reading = [self._threads.submit(self._touch, some) for rows in parts for some in rows.chunk(_THREADS)]

    def _touch(self, rows: Tensor) -> None:
        for table in self._tables:
            table[:, ::_PAGE].index_select(0, rows)
            table[:, -1].index_select(0, rows)
