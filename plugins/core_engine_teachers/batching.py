"""Batches under a token budget, shared by the threads that compute them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence


class BatchQueue:
    """Hands out indices of texts in batches whose padded size (rows x longest row) is at most ``budget`` tokens.

    Longest first, so that neighbours need little padding and a batch that does not fit in memory fails at once.
    A text longer than the budget is a batch of its own. Threads may share it; while nothing is given back, the batches
    are the same whoever takes them.
    """

    def __init__(self, lengths: Sequence[int], budget: int) -> None:
        self._lengths = lengths
        self.budget = budget
        self._left = self._ordered(range(len(lengths)))
        self._lock = threading.Lock()

    def take(self) -> list[int]:
        """The next batch; empty when nothing is left."""
        with self._lock:
            if not self._left:
                return []
            rows = max(1, self.budget // self._lengths[self._left[-1]])
            batch = self._left[-rows:][::-1]
            del self._left[-rows:]
            return batch

    def __len__(self) -> int:
        """How many batches are left, if none fails."""
        with self._lock:
            number, end = 0, len(self._left)
            while end > 0:
                number, end = number + 1, end - max(1, self.budget // self._lengths[self._left[end - 1]])
            return number

    def give_back(self, batch: list[int]) -> bool:
        """Put back a batch that did not fit in memory; whether the budget had to be halved for it.

        It was halved already where another thread's batch failed while this one was being computed.
        """
        with self._lock:
            self._left = self._ordered([*self._left, *batch])
            size = self.padded(batch)
            if size > self.budget:
                return False
            self.budget = max(1, size // 2)
            return True

    def stop(self) -> None:
        """Nothing more is handed out."""
        with self._lock:
            self._left.clear()

    def padded(self, batch: Sequence[int]) -> int:
        """Tokens of a batch, padding included."""
        return len(batch) * max(self._lengths[i] for i in batch)

    def _ordered(self, indices: Iterable[int]) -> list[int]:
        """Those that come next at the end."""
        return sorted(indices, key=lambda i: (self._lengths[i], -i))
