"""Reads rows that lie in files before they are needed."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from core_engine.memory.tables import lies_in_file

#: float32 values of a page of memory, the least that is read.
_PAGE = 1024


class Prefetch:
    """While one step is computed, a thread touches the rows of the next, so that the system has them in memory by
    then. What is computed is the same with and without. Does nothing for tables that are in memory.
    """

    def __init__(self, tables: Iterable[Tensor]) -> None:
        self._tables = [table for table in tables if lies_in_file(table)]
        self._thread = ThreadPoolExecutor(1) if self._tables else None
        self._reading: Future[None] | None = None

    def read(self, rows: Tensor) -> None:
        """int64 ``[B]``; waits where the rows before are still being read."""
        if self._thread is None:
            return
        if self._reading is not None:
            self._reading.result()
        self._reading = self._thread.submit(self._touch, rows)

    def _touch(self, rows: Tensor) -> None:
        for table in self._tables:
            table[:, ::_PAGE].index_select(0, rows)
            table[:, -1].index_select(0, rows)
