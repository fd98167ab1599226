"""Jobs in threads that never outlive the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from queue import SimpleQueue
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Job, threading.Event], Result], jobs: Sequence[Job], threads: int
) -> Generator[tuple[int, Result], None, None]:
    """Each job's number and result, as they are finished; at most ``threads`` at a time.

    The first exception is raised here. Then, and when whoever iterates stops, no further job is begun, and the event
    that ``work`` is given is set. Jobs that are under way are not waited for: the threads are daemons, unlike those of
    concurrent.futures, so that an interrupt ends the process at once.
    """
    stop = threading.Event()
    finished: SimpleQueue[tuple[int, Result] | BaseException] = SimpleQueue()
    numbers = iter(range(len(jobs)))
    lock = threading.Lock()

    def run() -> None:
        try:
            while not stop.is_set():
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                finished.put((number, work(jobs[number], stop)))
        except BaseException as error:  # raised again below
            finished.put(error)

    try:
        for _ in range(min(threads, len(jobs))):
            threading.Thread(target=run, name="core-engine-remote", daemon=True).start()
        for _ in jobs:
            outcome = finished.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        stop.set()
