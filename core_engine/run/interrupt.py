"""Turns SIGINT, SIGTERM and SIGUSR1 into a request to stop at the next step boundary, where a checkpoint is written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import structlog
from attrs import define

log = structlog.get_logger("core_engine.run")


@define
class StopRequest:
    """``signal``: the number of the signal that asked, or None."""

    signal: int | None = None
    _told: bool = False

    def asked(self) -> bool:
        """Whether a signal has come; the first time, this is logged. (The handler itself must not log: it may have
        interrupted the writing of a line, and would wait for that line's lock for ever.)
        """
        if self.signal is not None and not self._told:
            self._told = True
            log.warning("stopping at this step", signal=signal.Signals(self.signal).name)
        return self.signal is not None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """While open, the first SIGINT or SIGTERM is noted; a second one acts as it would have without this. SIGUSR1, by
    which schedulers give notice of an end to come, is noted however often it comes.

    Signals can be handled in the main thread only; elsewhere nothing is noted.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    notice = getattr(signal, "SIGUSR1", None)  # Windows has none
    if notice is not None:
        numbers.append(notice)
    before = {number: signal.getsignal(number) for number in numbers}

    def note(number: int, frame: FrameType | None) -> None:
        request.signal = number
        if number != notice:
            signal.signal(number, before[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number in numbers:
            signal.signal(number, before[number])
