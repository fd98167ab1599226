"""A rate limit kept on this side of the wire."""

from __future__ import annotations

import threading
from collections.abc import Callable

_MINUTE = 60.0


class Pace:
    """Spreads ``per_minute`` units evenly: each reservation pushes the next one back by its share of a minute.

    So any minute has at most ``per_minute`` units and one reservation, and there is no burst at the start. ``now``
    gives seconds. This is the generic cell rate algorithm (ITU-T I.371) without tolerance.
    """

    def __init__(self, per_minute: int, now: Callable[[], float]) -> None:
        self._seconds_per_unit = _MINUTE / per_minute
        self._now = now
        self._next = now()
        self._lock = threading.Lock()

    def reserve(self, units: int) -> float:
        """Takes the next free place for ``units``; the seconds from now until it comes."""
        with self._lock:
            now = self._now()
            start = max(now, self._next)
            self._next = start + units * self._seconds_per_unit
            return start - now

    def correct(self, units: int) -> None:
        """``units`` more (or fewer) were used than had been reserved; later reservations make up for it."""
        with self._lock:
            self._next += units * self._seconds_per_unit
